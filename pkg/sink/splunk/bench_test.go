//go:build unix

package splunk

import (
	"io"
	"net/http"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// BenchmarkEncode is envelopes and compression of one request of 300 events; s/Mevents is CPU per million events.
func BenchmarkEncode(b *testing.B) {
	events := posttest.SignIns(300)
	enc, err := newEncoder(Default(), event.Schema{Name: "ecs"})
	if err != nil {
		b.Fatal(err)
	}
	size := 0
	for i := range events {
		size += len(events[i].Body)
	}
	for _, zip := range []bool{false, true} {
		b.Run(map[bool]string{false: "none", true: "gzip"}[zip], func(b *testing.B) {
			var buffers post.Buffers
			buf := buffers.Get()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var out []byte
			began := posttest.Processor(b)
			for b.Loop() {
				out = buf.Encode(len(events), zip, func(dst []byte, i int) []byte { return enc.append(dst, &events[i]) })
			}
			b.ReportMetric((posttest.Processor(b)-began).Seconds()/float64(b.N)/float64(len(events))*1e6, "s/Mevents")
			b.ReportMetric(float64(size)/float64(len(out)), "ratio")
			b.ReportMetric(float64(size)/float64(len(events)), "B/event")
		})
	}
}

// BenchmarkSend is one request of 500 events against a peer in memory: writing, compression, judging.
func BenchmarkSend(b *testing.B) {
	events := posttest.SignIns(500)
	for _, compression := range []string{"none", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			cfg := Config{Common: post.Common{Endpoints: []string{"https://splunk.example.com"}, Compression: compression},
				TokenFile: posttest.SecretFile(b, testToken)}
			s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
				_, err := io.Copy(io.Discard, r.Body)
				r.Body.Close()
				return posttest.Reply(200, `{"text":"Success","code":0}`), err
			})})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			began := posttest.Processor(b)
			for b.Loop() {
				if err := s.Send(b.Context(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((posttest.Processor(b)-began).Seconds()/float64(b.N)/float64(len(events))*1e6, "s/Mevents")
		})
	}
}
