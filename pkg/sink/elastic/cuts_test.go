package elastic

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// TestCuts breaks the connection at every place of a request and of its reply. What was stored and comes again is known by its id.
func TestCuts(t *testing.T) {
	for _, compression := range []string{"gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			c := newCluster(t)
			sinktest.Cuts(t, sinktest.CutHarness{
				Server: strings.TrimPrefix(c.URL, "http://"),
				Peer:   knownByID{c},
				Once:   true,
				New: func(url string) sinktest.Sink {
					return newSink(t, c, func(cfg *Config) { cfg.Endpoints, cfg.Compression = []string{url}, compression })
				},
			})
		})
	}
}

type knownByID struct{ *cluster }

func (k knownByID) Taken() ([]sinktest.Received, int) {
	stored := k.Drain()
	k.mu.Lock()
	defer k.mu.Unlock()
	repeats := k.repeats
	k.repeats = 0
	return stored, repeats
}

// TestCutBodies has replies whose length is not announced, so that the end of the connection is the end of the reply: then only
// the JSON tells a cut one from a whole one.
func TestCutBodies(t *testing.T) {
	events := posttest.Samples(3)
	reply := bulkReply(events, map[int]string{1: failure(429, "es_rejected_execution_exception", "x"), 2: failure(400, "mapper_parsing_exception", "y")})
	for at := range len(reply) + 1 {
		s, err := New(Config{Common: post.Common{Endpoints: []string{"https://es.example.com"}}}, event.Schema{Name: "ecs"}, Options{
			Transport: posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
				r.Body.Close()
				return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader(reply[:at]))}, nil
			})})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Send(t.Context(), events)
		if at < len(reply) {
			if posttest.Outcome(err) != "retryable" {
				t.Errorf("after %d bytes of %d: %v", at, len(reply), err)
			}
			continue
		}
		if failed := fault.Failed(err); len(failed) != 2 || posttest.Outcome(failed[1]) != "retryable" || posttest.Outcome(failed[2]) != "poison" {
			t.Errorf("the whole reply: %v", failed)
		}
	}
}
