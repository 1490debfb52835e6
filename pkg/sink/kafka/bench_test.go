package kafka

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/event"
)

// benchEvents makes events of about 3.5 KB whose text repeats as much as that of sign-ins does.
func benchEvents(n int) []event.Event {
	events := newEvents(n, "signins.interactive")
	for i := range events {
		e := &events[i]
		var b strings.Builder
		fmt.Fprintf(&b, `{"id":"%s","createdDateTime":"2026-03-01T12:00:00Z","userDisplayName":"User %d","userId":"%08x-2222-3333-4444-%012x"`, e.EventID, i, i*7919, i)
		for m := 0; b.Len() < 3400; m++ {
			fmt.Fprintf(&b, `,"member%d":{"id":"%016x","displayName":"Require multifactor authentication %d","result":"notApplied","controls":["mfa"]}`,
				m, uint64(i*m+m)*0x9e3779b97f4a7c15, m)
		}
		e.Raw = []byte(b.String() + "}")
		e.Body = e.Raw
	}
	return events
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEncode is the CPU of a Send without the network: grouping excepted.
func BenchmarkEncode(b *testing.B) {
	events := benchEvents(260) // one Send by default limits
	index := make([]int, len(events))
	keys := make([][]byte, len(events))
	for i := range index {
		index[i] = i
	}
	for _, c := range []kafka.Compression{0, kafka.Lz4, kafka.Zstd, kafka.Snappy} {
		b.Run(c.String(), func(b *testing.B) {
			e, wire := newEncoder(c, "ecs"), []byte(nil)
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				wire, _ = e.encode(wire[:0], events, index, keys)
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N*len(events))/1e3, "cpu-s/1M-events")
			b.ReportMetric(float64(len(wire))/float64(len(events)), "wire-B/event")
		})
	}
}

func BenchmarkUserKey(b *testing.B) {
	e := benchEvents(1)[0]
	for b.Loop() {
		userKey(e.Raw)
	}
}

// BenchmarkSend has the broker in the same process, which drops what arrives without decoding it.
func BenchmarkSend(b *testing.B) {
	for _, partitions := range []int{1, 6} {
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			broker := newBroker(b, partitions, nil)
			broker.blind = true
			s := newSink(b, broker, nil)
			events := benchEvents(260)
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				if err := s.Send(context.Background(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu()-before)/float64(b.N*len(events))/1e3, "cpu-s/1M-events")
		})
	}
}
