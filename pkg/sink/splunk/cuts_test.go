package splunk

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// TestCuts breaks the connection at every place of a request and of its reply.
func TestCuts(t *testing.T) {
	for _, compression := range []string{"gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			peer := &wholeRequests{seen: map[string]bool{}}
			server := httptest.NewServer(peer)
			defer server.Close()
			sinktest.Cuts(t, sinktest.CutHarness{
				Server: strings.TrimPrefix(server.URL, "http://"),
				Peer:   peer,
				New: func(url string) sinktest.Sink {
					cfg := Config{Common: post.Common{Endpoints: []string{url}, Compression: compression}, TokenFile: posttest.SecretFile(t, testToken), Ack: "off"}
					s, err := New(cfg, event.Schema{Name: "ecs"}, Options{})
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
			})
		})
	}
}

// wholeRequests is a HEC that stores nothing before it has the whole request.
type wholeRequests struct {
	mu      sync.Mutex
	stored  []sinktest.Received
	seen    map[string]bool
	repeats int
}

func (p *wholeRequests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(body)
		if err != nil {
			return
		}
		body = zip
	}
	var got []sinktest.Received
	in := json.NewDecoder(body)
	for {
		var e struct {
			Event  json.RawMessage
			Fields map[string]string
		}
		if err := in.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		got = append(got, sinktest.Received{EventID: e.Fields["event_id"], Body: string(e.Event)})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range got {
		if p.seen[e.EventID] {
			p.repeats++
		}
		p.seen[e.EventID] = true
		p.stored = append(p.stored, e)
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"text":"Success","code":0}`)
}

func (p *wholeRequests) Taken() ([]sinktest.Received, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stored, repeats := p.stored, p.repeats
	p.stored, p.repeats = nil, 0
	clear(p.seen)
	return stored, repeats
}
