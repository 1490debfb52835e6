//go:build unix

package collector

import (
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// BenchmarkSend is one request of 600 events.
func BenchmarkSend(b *testing.B) {
	events := posttest.SignIns(600)
	for _, format := range []string{"ndjson", array} {
		for _, compression := range []string{"none", "gzip"} {
			b.Run(format+"/"+compression, func(b *testing.B) {
				cfg := Config{Common: post.Common{Endpoints: []string{"https://collector.example.com"}, Compression: compression}, Format: format}
				s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.Answering(204, "")})
				if err != nil {
					b.Fatal(err)
				}
				posttest.Benchmark(b, events, func() error { return s.Send(b.Context(), events) })
			})
		}
	}
}
