package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

func newSink(t testing.TB, b *broker, change func(*Config)) *Sink {
	t.Helper()
	cfg := Config{Brokers: []string{b.addr()}, Topic: "entra-{family}"}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, Options{Schema: event.Schema{Name: "ecs", Version: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newEvents makes n sign-ins, each of another user, every fourth a second later.
func newEvents(n int, stream string) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		e := &events[i]
		e.Record = event.Record{
			Key:  event.StreamKey{Cloud: "global", Tenant: "11111111-2222-3333-4444-555555555555", Stream: stream},
			ID:   fmt.Sprintf("%s-%d", stream, i),
			Time: time.Date(2026, 3, 1, 12, 0, i/4, 123_000_000, time.UTC),
			Raw:  fmt.Appendf(nil, `{"id":"%d","userId":"user-%d"}`, i, i),
		}
		e.EventID = e.Record.EventID()
		e.Body = fmt.Appendf(nil, `{"event":{"id":%q},"n":%d}`, e.EventID.String(), i)
	}
	return events
}

const sizes = "the limit is the broker's, which names it in its reply: TestSendSplits"

func TestContract(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
			b := newBroker(t, 1, nil) // the contract looks at the order, which Kafka has within a partition only
			return newSink(t, b, nil), b
		},
		Skip: map[string]string{"too-large": sizes},
	})
}

// TestContractPlain runs it without compression and with the smallest batches.
func TestContractPlain(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) (sinktest.Sink, sinktest.Peer) {
			b := newBroker(t, 1, nil)
			return newSink(t, b, func(c *Config) { c.Compression, c.Batch.Bytes, c.Key = "none", 4<<10, keyNone }), b
		},
		Skip: map[string]string{"stream": "it has run with the default configuration", "too-large": sizes},
	})
}

func TestSendRecords(t *testing.T) {
	for _, compression := range []string{"none", "lz4", "gzip", "zstd", "snappy"} {
		t.Run(compression, func(t *testing.T) {
			b := newBroker(t, 3, nil)
			s := newSink(t, b, func(c *Config) { c.Compression = compression })
			events := append(newEvents(40, "signins.interactive"), newEvents(20, "audits")...)
			for range 2 { // the second with buffers that are used again
				if err := s.Send(context.Background(), events); err != nil {
					t.Fatal(err)
				}
				check(t, b.records, events)
				b.records = nil
			}
		})
	}
}

// check finds each event once, in its topic, in order within its partition, with key, time and headers.
func check(t *testing.T, records []stored, events []event.Event) {
	t.Helper()
	if len(records) != len(events) {
		t.Fatalf("%d records, want %d", len(records), len(events))
	}
	place := map[string]int{}
	for i := range events {
		place[string(events[i].Body)] = i
	}
	last := map[string]int{}
	balancer := kafka.Murmur2Balancer{Consistent: true}
	for _, r := range records {
		i, ok := place[r.value]
		if !ok {
			t.Fatalf("unknown or second record %q", r.value)
		}
		delete(place, r.value)
		e := &events[i]
		key := userKey(e.Raw)
		want := stored{
			topic: "entra-" + e.Key.Family(), partition: balancer.Balance(kafka.Message{Key: key}, 0, 1, 2), key: key, value: r.value,
			millis: e.Time.UnixMilli(), headers: map[string]string{
				"event_id": e.EventID.String(), "stream": e.Key.Stream, "tenant": e.Key.Tenant, "schema": "ecs", "content-type": "application/json",
			},
		}
		if diff := cmp.Diff(want, r, cmp.AllowUnexported(stored{})); diff != "" {
			t.Fatalf("record (-want +got):\n%s", diff)
		}
		where := fmt.Sprint(r.topic, r.partition)
		if before, ok := last[where]; ok && before > i {
			t.Fatalf("event %d is behind event %d in %s", i, before, where)
		}
		last[where] = i
	}
}

// TestSendOnePartitionFails has each reply for partition 0 of 3 and looks at what comes out for its events alone.
func TestSendOnePartitionFails(t *testing.T) {
	events := newEvents(30, "audits")
	for _, tc := range []struct {
		name   string
		answer answer
		class  fault.Class
		poison bool // first event of the batch
		pause  time.Duration
	}{
		{"not leader", answer{code: kafka.NotLeaderForPartition}, fault.Retryable, false, 0},
		{"denied", answer{code: kafka.TopicAuthorizationFailed}, fault.Blocked, false, 0},
		{"throttled", answer{code: kafka.ThrottlingQuotaExceeded, throttle: 1500}, fault.Retryable, false, 1500 * time.Millisecond},
		{"batch too large", answer{code: kafka.MessageSizeTooLarge}, fault.Retryable, false, 0},
		{"record named", answer{code: kafka.InvalidRecord, refused: map[int32]string{0: "schema"}}, fault.Retryable, true, 0},
		{"record named that was not sent", answer{code: kafka.InvalidRecord, refused: map[int32]string{999: "schema"}}, fault.Retryable, false, 0},
		{"record named without a refusal", answer{code: kafka.NotEnoughReplicas, refused: map[int32]string{0: "?"}}, fault.Retryable, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBroker(t, 3, nil)
			b.answer = func(_ string, partition int, _ []stored) answer {
				if partition == 0 {
					return tc.answer
				}
				return answer{}
			}
			s := newSink(t, b, nil)
			err := s.Send(context.Background(), events)
			if fault.Of(err) != fault.Partial {
				t.Fatalf("Send: %v, want a partial failure", err)
			}
			failed := fault.Failed(err)
			if len(failed)+len(b.records) != len(events) || len(failed) < 2 {
				t.Fatalf("%d failed, %d stored of %d", len(failed), len(b.records), len(events))
			}
			for _, r := range b.records {
				for i := range failed {
					if string(events[i].Body) == r.value {
						t.Fatalf("event %d is stored and reported as failed", i)
					}
				}
			}
			first := true
			for i := range events {
				if failed[i] == nil {
					continue
				}
				want := tc.class
				if first && tc.poison {
					want = fault.Poison
				}
				first = false
				if got := fault.Of(failed[i]); got != want || fault.Pause(failed[i]) != tc.pause {
					t.Errorf("event %d: %s after %s, want %s after %s: %v", i, got, fault.Pause(failed[i]), want, tc.pause, failed[i])
				}
			}
		})
	}
}

// TestSendSplits: a broker that only says that a batch is too large, or bad, without saying which record.
func TestSendSplits(t *testing.T) {
	b := newBroker(t, 3, nil)
	events := newEvents(50, "audits")
	events[17].Body = append([]byte(sinktest.Marker), events[17].Body...)
	events[30].Body = append([]byte(sinktest.Marker), events[30].Body...)
	b.answer = func(_ string, _ int, records []stored) answer {
		for _, r := range records {
			if strings.Contains(r.value, sinktest.Marker) {
				return answer{code: kafka.RecordListTooLarge}
			}
		}
		return answer{}
	}
	poison, err := sinktest.Deliver(context.Background(), newSink(t, b, nil), events)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{17, 30}, poison); diff != "" {
		t.Errorf("poison (-want +got):\n%s", diff)
	}
	if len(b.records) != 48 {
		t.Errorf("%d records, want 48", len(b.records))
	}
}

// TestSendAfterLeaderMoved: the next Send has new metadata at once, not when a cache is old enough.
func TestSendAfterLeaderMoved(t *testing.T) {
	b := newBroker(t, 2, nil)
	s := newSink(t, b, nil)
	events := newEvents(10, "audits")
	b.answer = func(string, int, []stored) answer { return answer{code: kafka.NotLeaderForPartition} }
	if err := s.Send(context.Background(), events); fault.Of(err) != fault.Retryable || err == nil {
		t.Fatalf("Send: %v, want a retryable error", err)
	}
	before := b.count("Metadata")
	b.do(func() { b.answer = nil })
	if err := s.Send(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	if b.count("Metadata") == before {
		t.Error("the metadata was not read again")
	}
}

func TestSendWithoutLeader(t *testing.T) {
	b := newBroker(t, 3, nil)
	b.leaderless = map[int]bool{1: true}
	s := newSink(t, b, nil)
	events := newEvents(30, "audits")
	err := s.Send(context.Background(), events)
	if fault.Of(err) != fault.Partial {
		t.Fatalf("Send: %v, want a partial failure", err)
	}
	var again []event.Event
	for i := range events {
		if e := fault.Failed(err)[i]; e != nil {
			if fault.Of(e) != fault.Retryable {
				t.Errorf("event %d: %v, want it retryable", i, e)
			}
			again = append(again, events[i])
		}
	}
	b.do(func() { b.leaderless = nil })
	if err := s.Send(context.Background(), again); err != nil {
		t.Fatal(err)
	}
	check(t, b.records, events)
}

func TestSendTopicMissing(t *testing.T) {
	both := append(newEvents(5, "audits"), newEvents(5, "signins.interactive")...)
	t.Run("created by the broker", func(t *testing.T) {
		b := newBroker(t, 3, nil)
		b.topics["entra-audits"], b.autoCreate = kafka.UnknownTopicOrPartition, true
		s := newSink(t, b, nil)
		var err error
		for range 2 {
			if err = s.Send(context.Background(), both[:5]); err == nil || fault.Of(err) != fault.Retryable {
				break
			}
		}
		if err != nil || len(b.records) != 5 {
			t.Errorf("Send: %v, %d records", err, len(b.records))
		}
	})
	t.Run("not created", func(t *testing.T) {
		b := newBroker(t, 3, nil)
		b.topics["entra-audits"] = kafka.UnknownTopicOrPartition
		s := newSink(t, b, nil)
		s.cluster.grace = 0
		for _, want := range []fault.Class{fault.Retryable, fault.Blocked} {
			err := s.Send(context.Background(), both)
			if len(fault.Failed(err)) != 5 {
				t.Fatalf("Send: %v, want 5 of 10 events failed", err)
			}
			if got := fault.Of(fault.Failed(err)[0]); got != want {
				t.Errorf("class is %s, want %s: %v", got, want, fault.Failed(err)[0])
			}
		}
		err := s.Send(context.Background(), both[:5])
		if fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "entra-audits") {
			t.Errorf("Send: %v, want it blocked and the topic named", err)
		}
	})
	t.Run("denied", func(t *testing.T) {
		b := newBroker(t, 3, nil)
		b.topics["entra-audits"] = kafka.TopicAuthorizationFailed
		err := newSink(t, b, nil).Send(context.Background(), both[:5])
		if fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), "grant this user Write") {
			t.Errorf("Send: %v, want it blocked and what to grant", err)
		}
	})
}

// TestSendCancelledOwnsBodies: the bodies belong to the caller again when Send has returned. The race detector sees it.
func TestSendCancelledOwnsBodies(t *testing.T) {
	b := newBroker(t, 1, nil)
	b.Set(sinktest.Hang)
	s := newSink(t, b, nil)
	events := newEvents(500, "audits")
	for range 5 {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		err := s.Send(ctx, events)
		cancel()
		if err == nil || fault.Of(err) != fault.Retryable || !strings.Contains(err.Error(), "unknown") {
			t.Fatalf("Send: %v, want a retryable error that tells that the result is unknown", err)
		}
		for i := range events {
			clear(events[i].Body)
		}
	}
}

func TestNoBroker(t *testing.T) {
	b := newBroker(t, 1, nil)
	b.listener.Close()
	err := newSink(t, b, nil).Send(context.Background(), newEvents(1, "audits"))
	if err == nil || fault.Of(err) != fault.Retryable || !strings.Contains(err.Error(), b.addr()) {
		t.Errorf("Send: %v, want a retryable error that names the broker", err)
	}
}

func TestManyTopics(t *testing.T) {
	b := newBroker(t, 1, nil)
	s := newSink(t, b, func(c *Config) { c.Topic = "entra-{date}" })
	for day := range mostTopics + 5 {
		events := newEvents(1, "audits")
		events[0].Time = events[0].Time.AddDate(0, 0, day)
		if err := s.Send(context.Background(), events); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.records) != mostTopics+5 || len(s.cluster.topics) > mostTopics {
		t.Errorf("%d records, %d topics kept", len(b.records), len(s.cluster.topics))
	}
}

// TestSendAllRefused: without an accepted event the verdict is the batch's own, so that the lane splits.
func TestSendAllRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer answer
		n      int
		want   fault.Class
	}{
		{"too large", answer{code: kafka.MessageSizeTooLarge}, 3, fault.Poison},
		{"too large, alone", answer{code: kafka.MessageSizeTooLarge}, 1, fault.Poison},
		{"a record that was not sent is named", answer{code: kafka.InvalidRecord, refused: map[int32]string{999: "?"}}, 3, fault.Poison},
		{"all named", answer{code: kafka.InvalidRecord, refused: map[int32]string{0: "a", 1: "b", 2: ""}}, 3, fault.Partial},
		{"named, alone", answer{code: kafka.InvalidRecord, refused: map[int32]string{0: "a"}}, 1, fault.Poison},
		{"unknown", answer{code: kafka.Unknown}, 3, fault.Retryable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBroker(t, 1, nil)
			b.answer = func(string, int, []stored) answer { return tc.answer }
			err := newSink(t, b, nil).Send(context.Background(), newEvents(tc.n, "audits"))
			if err == nil || fault.Of(err) != tc.want {
				t.Fatalf("Send: %v (%s), want %s", err, fault.Of(err), tc.want)
			}
			for i, e := range fault.Failed(err) {
				if fault.Of(e) != fault.Poison || fault.Reply(e) == "" {
					t.Errorf("event %d: %v, want poison with a reply", i, e)
				}
			}
		})
	}
}

// TestSendWithoutKey: events spread over the partitions, and a repeat goes where the first one went.
func TestSendWithoutKey(t *testing.T) {
	b := newBroker(t, 3, nil)
	s := newSink(t, b, func(c *Config) { c.Key = keyNone })
	events := newEvents(60, "audits")
	where := map[string]int{}
	used := map[int]int{}
	for range 2 {
		if err := s.Send(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		for _, r := range b.records {
			if before, ok := where[r.value]; ok && before != r.partition || r.key != nil {
				t.Fatalf("%+v was in partition %d before, without a key", r, before)
			}
			where[r.value] = r.partition
			used[r.partition]++
		}
		b.records = nil
	}
	if len(where) != 60 || len(used) != 3 || used[0] < 20 || used[1] < 20 || used[2] < 20 {
		t.Errorf("%d events, records by partition: %v", len(where), used)
	}
}

// TestCloseCutsConnections: one on which a cancelled request waits for its reply is not left to its timeout.
func TestCloseCutsConnections(t *testing.T) {
	b := newBroker(t, 1, nil)
	b.Set(sinktest.Hang)
	s := newSink(t, b, nil)
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan error)
	go func() { sent <- s.Send(ctx, newEvents(1, "audits")) }()
	eventually(t, "the request arrives", func() bool { return b.count("Produce") == 1 })
	cancel()
	if err := <-sent; err == nil || fault.Of(err) != fault.Retryable {
		t.Errorf("Send: %v, want a retryable error", err)
	}
	s.Close()
	eventually(t, "all connections are closed", func() bool {
		open := 0
		b.do(func() { open = len(b.conns) })
		return open == 0
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(5 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}
