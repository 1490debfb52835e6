// Package kafka sends events to Apache Kafka and to what speaks its protocol (Redpanda, Event Hubs, WarpStream, ..), through
// kafka.Client of segmentio/kafka-go. kafka.Writer is not used: it retries on its own and goes on after its context has
// ended, so that nobody knows what was accepted.
//
// A record's value is the event's body, its timestamp the record's own time: a topic with retention.ms drops records from a
// backfill that are older. Headers: event_id, stream, tenant, schema, content-type. Delivery is at least once; a consumer
// recognises repeats by event_id.
package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
)

// Options are what does not come from the configuration of the sink.
type Options struct {
	// Schema is what the bodies are rendered in; its name goes into a header. The zero value leaves the header out.
	Schema event.Schema
	// Dial replaces net.Dialer in tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Sink is one producer. Its methods may be called from several goroutines; Sends wait for each other, because order within a
// partition needs one request in flight.
type Sink struct {
	cfg     Config
	topic   event.Template
	encoder *encoder
	cluster cluster

	life context.Context // ends with Close
	end  context.CancelFunc
	turn chan struct{} // held by the Send in work, which owns all below

	keys [][]byte // by event
	free [][]byte // buffers of requests that are over
}

// requests is the most Produce requests of one Send at once. Each needs a connection of its own.
const requests = 16

// New checks cfg and reads the files of its tls block. It does not connect: the first Send does.
func New(cfg Config, o Options) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure kafka sink: %w", err)
	}
	cfg = cfg.withDefaults()
	topic, err := event.ParseTemplate(cfg.Topic)
	if err != nil {
		return nil, fmt.Errorf("configure kafka sink: topic: %w", err)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	s := &Sink{
		cfg: cfg, topic: topic, encoder: newEncoder(compressionOf(cfg.Compression), o.Schema.Name), turn: make(chan struct{}, 1),
		cluster: cluster{
			brokers: cfg.Brokers, addr: kafka.TCP(cfg.Brokers...), clientID: cfg.ClientID, timeout: cfg.Timeout.Std(),
			sasl: newMechanism(cfg.SASL), dial: o.Dial, missing: map[string]time.Time{}, grace: dialTimeout * 2,
		},
	}
	if cfg.TLS != nil {
		if s.cluster.tls, err = cfg.TLS.Config(); err != nil {
			return nil, fmt.Errorf("configure kafka sink: %w", field.In("tls", err))
		}
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Limits tells the lane how much to send at once.
func (s *Sink) Limits() event.Limits {
	l := event.Limits{Events: s.cfg.Batch.Events, Bytes: int(s.cfg.Batch.Bytes), Linger: s.cfg.Batch.Linger.Std(), InFlight: 1}
	if s.encoder.compression == 0 {
		// The broker measures what arrives. Key and headers are about 256 bytes a record; without compression they have to
		// stay within the eighth that lies between the default of batch.bytes and the broker's limit.
		l.Events = max(1, min(l.Events, l.Bytes/8/256))
	}
	return l
}

// Close cuts all connections. A Send in work ends with an unknown result. It may be called again.
func (s *Sink) Close() error {
	s.end()
	s.turn <- struct{}{}
	s.cluster.drop()
	<-s.turn
	return nil
}

var errClosed = errors.New("send to kafka: the sink is closed")

// Send tries once: one Produce request with acks=all for each partition that the events belong to. Errors are of package
// fault. An event that was refused as part of a larger batch comes out of a partial failure as retryable; sent without the
// events that were accepted it is refused again, as poison, and the lane halves.
func (s *Sink) Send(ctx context.Context, events []event.Event) error {
	if len(events) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout.Std())
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("send to kafka: wait for the send before: %w", ctx.Err())
	}
	if s.life.Err() != nil {
		return errClosed
	}
	topics, err := s.route(ctx, events)
	if err != nil {
		s.cluster.drop()
		return err
	}
	s.produceAll(ctx, topics, events)
	clear(s.keys) // they alias the records
	outcome := settle(len(events), topics)
	for i := range topics {
		if topics[i].stale() {
			s.cluster.drop()
			break
		}
	}
	return outcome
}

// produceAll encodes one batch after the other and sends them side by side: compression has its work space once.
func (s *Sink) produceAll(ctx context.Context, topics []topic, events []event.Event) {
	client := s.cluster.link.client
	slots := make(chan struct{}, requests)
	var wg sync.WaitGroup
	for t := range topics {
		for p := range topics[t].batches {
			b := &topics[t].batches[p]
			if len(b.index) == 0 || b.err != nil {
				continue
			}
			wire, err := s.encoder.encode(s.buffer(), events, b.index, s.keys)
			if err != nil {
				b.err = judge("encode records", err)
				continue
			}
			b.wire = wire
			slots <- struct{}{}
			wg.Go(func() {
				b.produce(ctx, client)
				<-slots
			})
		}
	}
	wg.Wait()
	for t := range topics {
		for p := range topics[t].batches {
			// After an error without a reply kafka-go may still be reading the buffer.
			if b := &topics[t].batches[p]; b.replied && len(s.free) < requests {
				s.free = append(s.free, b.wire[:0])
			}
		}
	}
}

func (s *Sink) buffer() []byte {
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	return nil
}

// produce sends the batch and judges the reply.
func (b *batch) produce(ctx context.Context, client *kafka.Client) {
	what := fmt.Sprintf("produce to topic %q partition %d", b.topic, b.partition)
	reply, err := client.RawProduce(ctx, &kafka.RawProduceRequest{
		Topic: b.topic, Partition: b.partition, RequiredAcks: kafka.RequireAll,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(b.wire)},
	})
	if err != nil {
		b.err = judge(what, cause(err))
		return
	}
	b.replied = true
	b.err = judge(what, reply.Error)
	switch {
	case b.err == nil:
	case fault.Of(b.err) == fault.Poison:
		b.refused = refusals(what, len(b.index), reply)
	case fault.Of(b.err) == fault.Retryable && reply.Throttle > 0:
		b.err = fault.After(reply.Throttle, b.err)
	}
}

// cause takes the name of the Go method off an error of kafka.Client.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
