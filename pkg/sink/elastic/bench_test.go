//go:build unix

package elastic

import (
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// BenchmarkSend is one request of 600 events.
func BenchmarkSend(b *testing.B) {
	events := posttest.SignIns(600)
	for _, compression := range []string{"none", "gzip"} {
		b.Run(compression, func(b *testing.B) {
			cfg := Config{Common: post.Common{Endpoints: []string{"https://es.example.com"}, Compression: compression}}
			s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.Answering(200, bulkReply(events, nil))})
			if err != nil {
				b.Fatal(err)
			}
			posttest.Benchmark(b, events, func() error { return s.Send(b.Context(), events) })
		})
	}
}
