package chaos

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// serve hands every connection to a free port to f, and ends with the test. It gives the address.
func serve(t *testing.T, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	open := map[net.Conn]bool{}
	var mu sync.Mutex
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			all.Go(func() {
				defer conn.Close()
				f(conn)
				mu.Lock()
				delete(open, conn)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// broker is a Kafka of one node, whose topics have three partitions.
type broker struct {
	*dice
	*received
	address string
}

func newBroker(t *testing.T, seed, which uint64, got *received) *broker {
	b := &broker{dice: newDice(seed, which), received: got}
	b.address = serve(t, b.talk)
	return b
}

func (b *broker) talk(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		version, id, _, request, err := protocol.ReadRequest(in)
		if err != nil {
			return
		}
		reply := b.reply(conn, request)
		if reply == nil || protocol.WriteResponse(conn, version, id, reply) != nil {
			return
		}
	}
}

// reply is nil when the connection is to be cut.
func (b *broker) reply(conn net.Conn, request protocol.Message) protocol.Message {
	switch r := request.(type) {
	case *apiversions.Request:
		return &apiversions.Response{ApiKeys: []apiversions.ApiKeyResponse{
			{ApiKey: int16(protocol.Produce), MaxVersion: 8}, {ApiKey: int16(protocol.Metadata), MaxVersion: 8}, {ApiKey: int16(protocol.ApiVersions), MaxVersion: 2},
		}}
	case *metadata.Request:
		at := conn.LocalAddr().(*net.TCPAddr)
		m := &metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: at.IP.String(), Port: int32(at.Port)}}}
		for _, name := range r.TopicNames {
			topic := metadata.ResponseTopic{Name: name}
			for p := range int32(3) {
				topic.Partitions = append(topic.Partitions, metadata.ResponsePartition{PartitionIndex: p, LeaderID: 1})
			}
			m.Topics = append(m.Topics, topic)
		}
		return m
	case *produce.Request:
		return b.produce(r)
	}
	return nil
}

func (b *broker) produce(r *produce.Request) protocol.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	fault := b.roll([]odd{{"not leader", 0.01}, {"replicas", 0.01}, {"cut before", 0.01}, {"cut after", 0.01}})
	if fault == "cut before" {
		return nil
	}
	reply := &produce.Response{}
	for _, topic := range r.Topics {
		out := produce.ResponseTopic{Topic: topic.Topic}
		for _, p := range topic.Partitions {
			result := produce.ResponsePartition{Partition: p.Partition}
			switch fault {
			case "not leader":
				result.ErrorCode = int16(kafka.NotLeaderForPartition)
			case "replicas":
				result.ErrorCode = int16(kafka.NotEnoughReplicas)
			default:
				b.store(p.RecordSet.Records, &result)
			}
			out.Partitions = append(out.Partitions, result)
		}
		reply.Topics = append(reply.Topics, out)
	}
	if fault == "cut after" {
		b.unknown++
		return nil
	}
	return reply
}

// store takes a batch as a whole, or refuses it and names the bad records.
func (b *broker) store(records protocol.RecordReader, result *produce.ResponsePartition) {
	type record struct {
		id    string
		value []byte
	}
	var all []record
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		var value []byte
		if err == nil {
			value, err = protocol.ReadAll(r.Value)
		}
		if err != nil {
			b.fault("record %d: %v", len(all), err)
			result.ErrorCode = int16(kafka.InvalidMessage)
			return
		}
		if bytes.Contains(value, []byte(mark)) {
			result.ErrorCode = int16(kafka.InvalidRecord)
			result.RecordErrors = append(result.RecordErrors, produce.ResponseError{BatchIndex: int32(len(all)), BatchIndexErrorMessage: "marked"})
		}
		got := record{value: value}
		for _, h := range r.Headers {
			if h.Key == "event_id" {
				got.id = string(h.Value)
			}
		}
		all = append(all, got)
	}
	if result.ErrorCode == 0 {
		for _, r := range all {
			b.put(r.id, r.value)
		}
	}
}

// relay takes octet-counted syslog over TCP. From time to time it says that it wants to close, as one that restarts does, and reads on
// until the sender has closed: over plain TCP nobody can know what became of the rest.
type relay struct {
	*dice
	*received
	address string
}

func newRelay(t *testing.T, seed, which uint64, got *received) *relay {
	r := &relay{dice: newDice(seed, which), received: got}
	r.address = "tcp://" + serve(t, r.talk)
	return r
}

func (r *relay) talk(conn net.Conn) {
	r.mu.Lock()
	until := 10_000 + r.rng.IntN(100_000)
	r.mu.Unlock()
	in := bufio.NewReaderSize(conn, 256<<10)
	for n := 1; ; n++ {
		message, err := frame(in)
		if err != nil {
			return // the sender has gone
		}
		_, rest, _ := bytes.Cut(message, []byte(` event_id="`))
		id, rest, _ := bytes.Cut(rest, []byte(`"`))
		r.mu.Lock()
		r.put(string(id), rest)
		if n == until {
			r.served["goodbye"]++
			conn.(*net.TCPConn).CloseWrite()
		}
		r.mu.Unlock()
	}
}

// frame reads LEN SP MESSAGE.
func frame(in *bufio.Reader) ([]byte, error) {
	length, err := in.ReadString(' ')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
	if err != nil || n <= 0 || n > 1<<20 {
		return nil, fmt.Errorf("%q is no octet count", length)
	}
	message := make([]byte, n)
	_, err = io.ReadFull(in, message)
	return message, err
}

// pipe is the reader of a stdout sink.
type pipe struct {
	*dice
	*received
	rest []byte // of a line
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		line, rest, whole := bytes.Cut(p.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		p.put(idIn(line), line)
		p.rest = append(p.rest[:0], rest...)
	}
}

// idIn finds the event id in an event of schema ecs.
func idIn(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte(`"event_id":"`))
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(id)
}
