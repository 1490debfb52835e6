//go:build unix

package posttest

import (
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// Processor is the CPU time that the process has used. Unlike elapsed time it does not depend on who else is busy.
func Processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Answering is a peer in memory that reads each request and gives the same reply.
func Answering(status int, reply string) RoundTripper {
	return func(r *http.Request) (*http.Response, error) {
		_, err := io.Copy(io.Discard, r.Body)
		r.Body.Close()
		return Reply(status, reply), err
	}
}

// Benchmark is send with these events against a peer in memory: writing, compression, judging. s/Mevents is CPU per million events.
func Benchmark(b *testing.B, events []event.Event, send func() error) {
	b.ReportAllocs()
	began := Processor(b)
	for b.Loop() {
		if err := send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((Processor(b)-began).Seconds()/float64(b.N)/float64(len(events))*1e6, "s/Mevents")
}
