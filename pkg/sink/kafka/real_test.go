package kafka

import (
	"context"
	"crypto/rand"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

var (
	realBroker = flag.String("kafka", "", "host:port of a running broker that creates topics: TestReal writes to new topics there")
	realCA     = flag.String("kafka-ca", "", "PEM file of the CA of -kafka; empty: plain text")
	realSASL   = flag.String("kafka-sasl", "", "mechanism,user,file for -kafka")
)

func realSink(t *testing.T, change func(*Config)) *Sink {
	t.Helper()
	if *realBroker == "" {
		t.Skip("no -kafka host:port was given: only the broker of this package was tested")
	}
	c := Config{Brokers: []string{*realBroker}, Topic: "logferry-test-" + strings.ToLower(rand.Text())[:10]}
	if *realCA != "" {
		c.TLS = &secure.TLS{CAFile: *realCA}
	}
	if parts := strings.Split(*realSASL, ","); len(parts) == 3 {
		c.SASL = SASL{Mechanism: parts[0], Username: parts[1], PasswordFile: parts[2]}
	}
	change(&c)
	s, err := New(c, Options{Schema: event.Schema{Name: "ecs"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// sendReal repeats what is retryable: the broker has to create the topic and to elect leaders first.
func sendReal(t *testing.T, s *Sink, events []event.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := s.Send(ctx, events)
		if err == nil {
			return
		}
		if fault.Of(err) != fault.Retryable || ctx.Err() != nil {
			t.Fatal(err)
		}
		t.Log(err)
		<-tick.C
	}
}

// readReal reads the whole topic with kafka-go's client.
func readReal(t *testing.T, s *Sink) (all []stored) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	picture, err := s.cluster.lookup(ctx, []string{s.cfg.Topic})
	if err != nil || picture[0].err != nil {
		t.Fatal(err, picture)
	}
	client := s.cluster.link.client
	for p := range picture[0].partitions {
		for offset, end := int64(0), int64(1); offset < end; {
			reply, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: s.cfg.Topic, Partition: p, Offset: offset, MinBytes: 0, MaxBytes: 32 << 20, MaxWait: 10 * time.Millisecond})
			if err != nil || reply.Error != nil {
				t.Fatal(err, reply)
			}
			records, err := decode(s.cfg.Topic, p, reply.Records)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, records...)
			end = reply.HighWatermark
			if offset += int64(len(records)); len(records) == 0 && offset < end {
				t.Fatalf("partition %d: nothing at offset %d of %d", p, offset, end)
			}
		}
	}
	return all
}

func TestRealBroker(t *testing.T) {
	for _, compression := range []string{"none", "lz4", "gzip", "zstd", "snappy"} {
		t.Run(compression, func(t *testing.T) {
			s := realSink(t, func(c *Config) { c.Compression = compression })
			events := newEvents(500, "signins.interactive")
			sendReal(t, s, events)
			got := readReal(t, s)
			place := map[string]stored{}
			for _, r := range got {
				place[r.value] = r
			}
			for i := range events {
				e := &events[i]
				r, ok := place[string(e.Body)]
				if !ok || string(r.key) != string(userKey(e.Raw)) || r.millis != e.Time.UnixMilli() || r.headers["event_id"] != e.EventID.String() {
					t.Fatalf("event %d came as %+v", i, r)
				}
			}
			if len(got) != len(events) {
				t.Errorf("%d records, want %d", len(got), len(events))
			}
		})
	}
}

// TestRealBrokerRefuses: an event above the broker's limit is poison; so is, for Kafka 4 itself, one of the day after tomorrow.
func TestRealBrokerRefuses(t *testing.T) {
	s := realSink(t, func(c *Config) { c.Compression = "none" })
	events := newEvents(20, "audits")
	sendReal(t, s, events[:1])
	events[7].Body = []byte(`{"text":"` + strings.Repeat(rand.Text(), 100_000) + `"}`)
	events[11].Time = time.Now().AddDate(0, 0, 2)
	poison, err := sinktest.Deliver(context.Background(), s, events[1:])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("refused: %v of 19", poison)
	if len(poison) == 0 || poison[0] != 6 || len(poison) > 2 || len(poison) == 2 && poison[1] != 10 {
		t.Errorf("poison is %v, want 6 and perhaps 10", poison)
	}
	if got := readReal(t, s); len(got) != 20-len(poison) {
		t.Errorf("%d records, want %d", len(got), 20-len(poison))
	}
}
