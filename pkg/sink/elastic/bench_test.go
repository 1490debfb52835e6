//go:build unix

package elastic

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// benchEvents are bodies of about 3.5 KB: a sign-in with the record kept inside. Ids, names, addresses and times differ.
func benchEvents(n int) []event.Event {
	var events []event.Event
	for i := range n {
		h := uint64(i+1) * 0x9e3779b97f4a7c15
		id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(h), uint16(h>>32), h>>48&0xfff, h>>52&0xfff, h*31>>16)
		var b strings.Builder
		fmt.Fprintf(&b, `{"@timestamp":"2026-03-01T12:%02d:%02d.%07dZ","event":{"id":"%s","kind":"event","outcome":"success"},`, i/60%60, i%60, h%10_000_000, id)
		fmt.Fprintf(&b, `"user":{"id":"%s","name":"user%d@contoso.com"},"source":{"ip":"192.0.2.%d"},"entra":{`, id, i%997, h%256)
		for k := range 29 {
			fmt.Fprintf(&b, `"conditionalAccessProperty%02d":{"id":"%08x-%04x","displayName":"Policy number %d","result":"notApplied"},`, k, uint32(h>>(k%32)), uint16(h), k)
		}
		fmt.Fprintf(&b, `"correlationId":"%s","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64)"}}`, id)
		events = append(events, sample(i, "signins.interactive", b.String()))
	}
	return events
}

// processor is the CPU time that the process has used. Unlike elapsed time it does not depend on who else is busy.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSend is one request of 600 events against a peer in memory: writing, compression, judging. s/Mevents is CPU per
// million events.
func BenchmarkSend(b *testing.B) {
	events := benchEvents(600)
	reply := []byte(bulkReply(events, nil))
	for _, compression := range []string{"none", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			cfg := Config{Endpoints: []string{"https://es.example.com"}, Compression: compression}
			s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				_, err := io.Copy(io.Discard, r.Body)
				r.Body.Close()
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(reply))}, err
			})})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			began := processor(b)
			for b.Loop() {
				if err := s.Send(b.Context(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processor(b)-began).Seconds()/float64(b.N)/float64(len(events))*1e6, "s/Mevents")
		})
	}
}
