package kafka

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// stored is one record as the broker has decoded it.
type stored struct {
	topic     string
	partition int
	key       []byte
	value     string
	millis    int64
	headers   map[string]string
}

// answer is the broker's reply to one batch: stored unless it has a code.
type answer struct {
	code     kafka.Error
	refused  map[int32]string // by place in the batch
	throttle int32            // milliseconds
}

// broker is a Kafka of one node on a loopback port that knows ApiVersions, Metadata, Produce and SASL. It decodes with the
// reading half of kafka-go, which shares no code with the encoder under test.
type broker struct {
	listener   net.Listener
	partitions int
	blind      bool // accepts Produce requests without decoding them

	mu         sync.Mutex
	mode       sinktest.Mode
	answer     func(topic string, partition int, records []stored) answer // nil: by mode
	topics     map[string]kafka.Error                                     // in place of the topic's metadata
	autoCreate bool
	leaderless map[int]bool
	password   string // of PLAIN for user "logferry"; "": no SASL
	records    []stored
	requests   map[string]int
	sasl       []string // what clients sent: mechanism, first message
	conns      map[net.Conn]bool
}

func newBroker(t testing.TB, partitions int, config *tls.Config) *broker {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{
		listener: listener, partitions: partitions, requests: map[string]int{}, conns: map[net.Conn]bool{}, topics: map[string]kafka.Error{},
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if config != nil {
				conn = tls.Server(conn, config)
			}
			b.track(conn, true)
			wg.Go(func() {
				defer b.track(conn, false)
				b.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		b.mu.Lock()
		for conn := range b.conns {
			conn.Close()
		}
		b.mu.Unlock()
		wg.Wait()
	})
	return b
}

func (b *broker) addr() string { return b.listener.Addr().String() }

func (b *broker) track(conn net.Conn, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if open {
		b.conns[conn] = true
		return
	}
	delete(b.conns, conn)
	conn.Close()
}

// do runs f while the broker stands still.
func (b *broker) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *broker) count(api string) (n int) {
	b.do(func() { n = b.requests[api] })
	return n
}

// Set, Received and Drain make the broker a sinktest.Peer.
func (b *broker) Set(m sinktest.Mode) { b.do(func() { b.mode = m }) }

func (b *broker) Received() (out []sinktest.Received) {
	b.do(func() { out = received(b.records) })
	return out
}

func (b *broker) Drain() (out []sinktest.Received) {
	b.do(func() { out, b.records = received(b.records), nil })
	return out
}

func received(records []stored) []sinktest.Received {
	out := make([]sinktest.Received, len(records))
	for i, r := range records {
		out[i] = sinktest.Received{EventID: r.headers["event_id"], Body: r.value}
	}
	return out
}

func (b *broker) serve(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		if b.blind && accept(reader, conn) {
			continue
		}
		version, id, _, request, err := protocol.ReadRequest(reader)
		if err != nil {
			return
		}
		reply := b.reply(conn, request)
		if reply == nil {
			return
		}
		var out bytes.Buffer
		if err := protocol.WriteResponse(&out, version, id, reply); err != nil || !b.write(conn, reply, out.Bytes()) {
			return
		}
	}
}

// write gives false when the connection is to be cut. Modes are of Produce requests.
func (b *broker) write(conn net.Conn, to protocol.Message, reply []byte) bool {
	mode := sinktest.Accept
	if _, ok := to.(*produce.Response); ok {
		b.do(func() { mode = b.mode })
	}
	switch mode {
	case sinktest.CutDuring:
		conn.Write(reply[:len(reply)/2])
		return false
	case sinktest.Slow:
		for i := range reply {
			<-time.After(100 * time.Microsecond)
			if _, err := conn.Write(reply[i : i+1]); err != nil {
				return false
			}
		}
		return true
	}
	_, err := conn.Write(reply)
	return err == nil && mode != sinktest.CutReplied
}

// accept reads a Produce request of version 8 for one partition and answers yes; false if another request comes next.
func accept(r *bufio.Reader, conn net.Conn) bool {
	head, err := r.Peek(6) // size, API
	if err != nil || head[4] != 0 || head[5] != byte(protocol.Produce) {
		return false
	}
	if head, err = r.Peek(128); err != nil {
		return false
	}
	be := binary.BigEndian
	client := int(be.Uint16(head[12:]))
	topic := head[14+client+2+2+4+4:] // behind the transactional id, acks, timeout, number of topics
	name := topic[2 : 2+be.Uint16(topic)]
	partition := int32(be.Uint32(topic[2+len(name)+4:]))
	id, size := int32(be.Uint32(head[8:])), int(be.Uint32(head))
	reply := &produce.Response{Topics: []produce.ResponseTopic{{Topic: string(name), Partitions: []produce.ResponsePartition{{Partition: partition}}}}}
	if _, err := r.Discard(4 + size); err != nil {
		return false
	}
	return protocol.WriteResponse(conn, 8, id, reply) == nil
}

// reply is nil when the connection is to be cut.
func (b *broker) reply(conn net.Conn, request protocol.Message) protocol.Message {
	b.do(func() { b.requests[request.ApiKey().String()]++ })
	switch r := request.(type) {
	case *apiversions.Request:
		reply := &apiversions.Response{}
		for api, most := range map[protocol.ApiKey]int16{protocol.Produce: 8, protocol.Metadata: 8, protocol.ApiVersions: 2, protocol.SaslHandshake: 1, protocol.SaslAuthenticate: 1} {
			reply.ApiKeys = append(reply.ApiKeys, apiversions.ApiKeyResponse{ApiKey: int16(api), MaxVersion: most})
		}
		return reply
	case *saslhandshake.Request:
		b.do(func() { b.sasl = append(b.sasl, r.Mechanism) })
		return &saslhandshake.Response{}
	case *saslauthenticate.Request:
		b.do(func() { b.sasl = append(b.sasl, string(r.AuthBytes)) })
		if b.password == "" || string(r.AuthBytes) != "\x00logferry\x00"+b.password {
			return &saslauthenticate.Response{ErrorCode: int16(kafka.SASLAuthenticationFailed), ErrorMessage: "Authentication failed"}
		}
		return &saslauthenticate.Response{}
	case *metadata.Request:
		return b.metadata(r)
	case *produce.Request:
		return b.produce(conn, r)
	}
	return nil
}

func (b *broker) metadata(r *metadata.Request) protocol.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	addr := b.listener.Addr().(*net.TCPAddr)
	reply := &metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: "127.0.0.1", Port: int32(addr.Port)}}}
	for _, name := range r.TopicNames {
		code := b.topics[name]
		topic := metadata.ResponseTopic{Name: name, ErrorCode: int16(code)}
		if code == kafka.UnknownTopicOrPartition && r.AllowAutoTopicCreation && b.autoCreate {
			delete(b.topics, name) // as Kafka has it: this reply still says unknown
		}
		for p := range b.partitions {
			leader := int32(1)
			if b.leaderless[p] {
				leader = -1
			}
			if code == 0 {
				topic.Partitions = append(topic.Partitions, metadata.ResponsePartition{PartitionIndex: int32(p), LeaderID: leader})
			}
		}
		reply.Topics = append(reply.Topics, topic)
	}
	return reply
}

func (b *broker) produce(conn net.Conn, r *produce.Request) protocol.Message {
	b.mu.Lock()
	mode := b.mode
	b.mu.Unlock()
	switch mode {
	case sinktest.CutBefore:
		return nil
	case sinktest.Hang:
		io.Copy(io.Discard, conn) // until the client gives up
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	reply := &produce.Response{}
	for _, topic := range r.Topics {
		out := produce.ResponseTopic{Topic: topic.Topic}
		for _, p := range topic.Partitions {
			records, err := decode(topic.Topic, int(p.Partition), p.RecordSet.Records)
			a := answer{code: kafka.InvalidMessage}
			if err == nil && r.Acks == -1 {
				a = b.judgeBatch(topic.Topic, int(p.Partition), records)
			}
			if a.code == 0 {
				b.records = append(b.records, records...)
			}
			reply.ThrottleTimeMs = a.throttle
			result := produce.ResponsePartition{Partition: p.Partition, ErrorCode: int16(a.code)}
			for place, reason := range a.refused {
				result.RecordErrors = append(result.RecordErrors, produce.ResponseError{BatchIndex: place, BatchIndexErrorMessage: reason})
			}
			out.Partitions = append(out.Partitions, result)
		}
		reply.Topics = append(reply.Topics, out)
	}
	if mode == sinktest.CutAfter {
		return nil
	}
	return reply
}

func (b *broker) judgeBatch(topic string, partition int, records []stored) answer {
	if b.answer != nil {
		return b.answer(topic, partition, records)
	}
	switch b.mode {
	case sinktest.Busy:
		return answer{code: kafka.NotEnoughReplicas}
	case sinktest.Deny:
		return answer{code: kafka.TopicAuthorizationFailed}
	case sinktest.RefuseMarked:
		a := answer{refused: map[int32]string{}}
		for i, r := range records {
			if strings.Contains(r.value, sinktest.Marker) {
				a.code, a.refused[int32(i)] = kafka.InvalidRecord, "marked"
			}
		}
		return a
	}
	return answer{}
}

func decode(topic string, partition int, records protocol.RecordReader) ([]stored, error) {
	var out []stored
	if records == nil {
		return nil, errors.New("no records")
	}
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		key, err := protocol.ReadAll(r.Key)
		if err != nil {
			return nil, err
		}
		value, err := protocol.ReadAll(r.Value)
		if err != nil {
			return nil, err
		}
		s := stored{topic: topic, partition: partition, key: key, value: string(value), millis: r.Time.UnixMilli(), headers: map[string]string{}}
		for _, h := range r.Headers {
			s.headers[h.Key] = string(h.Value)
		}
		out = append(out, s)
	}
}
