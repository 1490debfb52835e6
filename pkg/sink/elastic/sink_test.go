package elastic

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// TestSendItems has the cluster take some events, refuse one for good and others for now: only these come again.
func TestSendItems(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, c, nil)
	tries := map[string]int{}
	c.refuse = func(d document) (int, string, string) {
		tries[d.Body]++
		switch {
		case d.Body == `{"n":1}`:
			return 400, "mapper_parsing_exception", "failed to parse"
		case d.Body == `{"n":2}` && tries[d.Body] < 3:
			return 429, "es_rejected_execution_exception", "queue full"
		case d.Body == `{"n":4}` && tries[d.Body] < 2:
			return 503, "unavailable_shards_exception", "not active"
		}
		return 0, "", ""
	}
	poison, err := sinktest.Deliver(t.Context(), s, posttest.Samples(6))
	if err != nil && fault.Of(err) == fault.Partial { // the event that alone is left was refused for now
		_, err = sinktest.Deliver(t.Context(), s, posttest.Samples(6)[2:3])
	}
	if err != nil || len(poison) != 1 || poison[0] != 1 {
		t.Errorf("poison is %v, %v", poison, err)
	}
	if len(c.Received()) != 5 || c.repeats != 0 || tries[`{"n":0}`] != 1 || tries[`{"n":1}`] != 1 || tries[`{"n":2}`] != 3 || tries[`{"n":4}`] != 2 {
		t.Errorf("%d stored, %d repeats, tried %v", len(c.Received()), c.repeats, tries)
	}
}

// TestSendRepeats: what is there already counts as accepted and is told, by stream and once; a reply that is not believed tells nothing.
func TestSendRepeats(t *testing.T) {
	c := newCluster(t)
	told := map[string]int{}
	s, err := New(Config{Common: post.Common{Endpoints: []string{c.URL}}, APIKeyFile: posttest.SecretFile(t, testKey)}, event.Schema{Name: "ecs"},
		Options{OnDuplicate: func(key event.StreamKey, n int) { told[key.Stream] += n }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	events := append(posttest.Samples(3), posttest.Sample(3, "audits", `{"n":3}`))
	for range 2 {
		if len(told) > 0 {
			t.Errorf("told %v of events that were not there", told)
		}
		if err := s.Send(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.Received()) != 4 || c.repeats != 4 || told["signins.interactive"] != 3 || told["audits"] != 1 {
		t.Errorf("%d stored, %d repeats, told %v", len(c.Received()), c.repeats, told)
	}
	c.reply = func(w http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		answer(w, 200, bulkReply(events[:2], map[int]string{0: failure(409, "version_conflict_engine_exception", "x")}))
		return true
	}
	if err := s.Send(t.Context(), events); posttest.Outcome(err) != "retryable" || told["signins.interactive"] != 3 {
		t.Errorf("%v, told %v", err, told)
	}
}

// TestSendPipeline: the name of the ingest pipeline goes into the query.
func TestSendPipeline(t *testing.T) {
	c := newCluster(t)
	asked := ""
	c.reply = func(_ http.ResponseWriter, r *http.Request) bool { asked = r.URL.Query().Get("pipeline"); return false }
	s := newSink(t, c, func(cfg *Config) { cfg.Pipeline = "entra&geo" })
	if err := s.Send(t.Context(), posttest.Samples(1)); err != nil || asked != "entra&geo" {
		t.Errorf("pipeline %q, %v", asked, err)
	}
}

func TestSendTooLarge(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, c, func(cfg *Config) { cfg.Compression = "none" })
	c.reply = func(w http.ResponseWriter, r *http.Request) bool {
		if r.ContentLength <= 300 {
			return false
		}
		answer(w, 413, "")
		return true
	}
	events := append(posttest.Samples(7), posttest.Sample(7, "audits", `{"x":"`+strings.Repeat("x", 300)+`"}`))
	poison, err := sinktest.Deliver(t.Context(), s, events)
	if err != nil || len(poison) != 1 || poison[0] != 7 || len(c.Received()) != 7 {
		t.Errorf("poison is %v, %v; %d stored", poison, err, len(c.Received()))
	}
}

func TestSendKeepsUnfitEventsBack(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, c, func(cfg *Config) { cfg.MaxEventBytes = 100 })
	events := posttest.Samples(5)
	events[1].Body, events[3].Body = []byte(`{"x":"`+strings.Repeat("x", 200)+`"}`), nil
	events[4].Body = []byte("{\n}")
	failed := fault.Failed(s.Send(t.Context(), events))
	got := ""
	for i := range events {
		got += posttest.Outcome(failed[i])[:1]
	}
	if got != "rprpp" || c.requests.Load() != 0 {
		t.Errorf("outcome %s with %d requests: %v", got, c.requests.Load(), failed)
	}
	poison, err := sinktest.Deliver(t.Context(), s, events)
	if err != nil || fmt.Sprint(poison) != "[1 3 4]" || len(c.Received()) != 2 {
		t.Errorf("poison is %v, %v; %d stored", poison, err, len(c.Received()))
	}
}

// TestSendFailover: after a failure the next endpoint is used, and the first again after a while.
func TestSendFailover(t *testing.T) {
	path := posttest.SecretFile(t, testKey)
	synctest.Test(t, func(t *testing.T) {
		down, asked := map[string]bool{"a": true, "b": true}, ""
		cfg := Config{Common: post.Common{Endpoints: []string{"https://a.example.com", "https://b.example.com", "https://c.example.com"}}, APIKeyFile: path}
		s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
			r.Body.Close()
			name := r.URL.Host[:1]
			asked += name
			if down[name] {
				return nil, io.ErrUnexpectedEOF
			}
			body := io.NopCloser(strings.NewReader(bulkReply(posttest.Samples(1), nil)))
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			sends int
			want  string
		}{{4, "abcc"}, {3, "abc"}, {1, "a"}} {
			asked = ""
			for range step.sends {
				if err := s.Send(t.Context(), posttest.Samples(1)); err != nil && fault.Of(err) != fault.Retryable {
					t.Error(err)
				}
			}
			if asked != step.want {
				t.Errorf("endpoints %s were used, want %s", asked, step.want)
			}
			time.Sleep(post.ComeBack)
			down["a"] = step.want == "abcc"
		}
	})
}

func TestSendReusesItsConnection(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, c, nil)
	c.reply = func(w http.ResponseWriter, r *http.Request) bool {
		if c.requests.Load()%2 == 0 {
			io.Copy(io.Discard, r.Body)
			answer(w, 503, strings.Repeat("<p>busy</p>", 10_000))
			return true
		}
		return false
	}
	for range 10 {
		s.Send(t.Context(), posttest.Samples(3))
	}
	if c.requests.Load() != 10 || c.conns.Load() != 1 {
		t.Errorf("%d requests over %d connections, want 10 over 1", c.requests.Load(), c.conns.Load())
	}
}

func TestSendDoesNotFollowRedirects(t *testing.T) {
	other, c := newCluster(t), newCluster(t)
	c.reply = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+"/_bulk", http.StatusTemporaryRedirect)
		return true
	}
	err := newSink(t, c, nil).Send(t.Context(), posttest.Samples(1))
	if posttest.Outcome(err) != "retryable" || !strings.Contains(err.Error(), other.URL) {
		t.Errorf("redirect: %v", err)
	}
	if other.requests.Load() != 0 {
		t.Error("the key went to another host")
	}
}

// TestSendLongReply: what is longer than any reply to so many events is not read to its end; fewer events may have a shorter one.
func TestSendLongReply(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, c, nil)
	c.reply = func(w http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		answer(w, 200, strings.Repeat(" ", maxReply)+bulkReply(posttest.Samples(1), nil))
		return true
	}
	for n, want := range map[int]string{1: "retryable", 2: "poison"} {
		if err := s.Send(t.Context(), posttest.Samples(n)); posttest.Outcome(err) != want {
			t.Errorf("%d events: %v, want %s", n, err, want)
		}
	}
}

// TestSendEarlyReplies has the server answer before it has read the request while others are made: with -race it shows a buffer
// that is used again too early.
func TestSendEarlyReplies(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, c, func(cfg *Config) { cfg.Compression = "none" })
	c.reply = func(w http.ResponseWriter, r *http.Request) bool {
		if c.requests.Load()%2 == 1 {
			answer(w, 503, "busy")
			return true
		}
		return false
	}
	for round := range 20 {
		var events []event.Event
		for i := range 200 {
			events = append(events, posttest.Sample(1000*round+i, "audits", fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", 10_000))))
		}
		c.Drain()
		if err := s.Send(t.Context(), events); err != nil {
			continue
		}
		for i, r := range c.Received() {
			if r.Body != string(events[i].Body) {
				t.Fatalf("event %d is changed", i)
			}
		}
	}
}

// TestSendCutRefusal: a refusal counts, even if its text does not arrive whole.
func TestSendCutRefusal(t *testing.T) {
	c := newCluster(t)
	c.reply = func(w http.ResponseWriter, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(401)
		io.WriteString(w, `{"error":{"type":"security_exc`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	if err := newSink(t, c, nil).Send(t.Context(), posttest.Samples(1)); posttest.Outcome(err) != "blocked" {
		t.Errorf("401 cut short: %v", err)
	}
}

// TestSendThroughProxy: the proxy of the configuration is asked for a host that nobody has.
func TestSendThroughProxy(t *testing.T) {
	c := newCluster(t)
	s := newSink(t, c, func(cfg *Config) {
		cfg.Endpoints, cfg.Insecure, cfg.Proxy = []string{"http://es.example.com:9200"}, true, c.URL
	})
	if err := s.Send(t.Context(), posttest.Samples(1)); err != nil || len(c.Received()) != 1 {
		t.Errorf("%d events came through, %v", len(c.Received()), err)
	}
}

func TestSendTimeout(t *testing.T) {
	path := posttest.SecretFile(t, testKey)
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Common: post.Common{Endpoints: []string{"https://es.example.com"}, Timeout: field.Duration(5 * time.Second)}, APIKeyFile: path}
		s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: posttest.RoundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			r.Body.Close()
			return nil, r.Context().Err()
		})})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = s.Send(t.Context(), posttest.Samples(1))
		if posttest.Outcome(err) != "retryable" || !strings.Contains(err.Error(), "no reply within 5s") {
			t.Errorf("timeout: %v", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s.Send(ctx, posttest.Samples(1)) == nil || time.Since(began) != 6*time.Second {
			t.Error("the caller's context does not end Send")
		}
	})
}

// TestTLS: the tls block is used. What goes wrong there is tested in pkg/sink/post.
func TestTLS(t *testing.T) {
	c := &cluster{auth: "ApiKey " + testKey, ids: map[string]bool{}}
	server, ca := posttest.TLSServer(t, c)
	c.Server = server
	for want, block := range map[string]secure.TLS{"accepted": {CAFile: ca}, "blocked": {}} {
		s := newSink(t, c, func(cfg *Config) { cfg.TLS = block })
		if err := s.Send(t.Context(), posttest.Samples(1)); posttest.Outcome(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// The cluster says so itself where it is spoken to in plain text.
	s := newSink(t, c, func(cfg *Config) { cfg.Endpoints = []string{"http" + strings.TrimPrefix(server.URL, "https")} })
	if err := s.Send(t.Context(), posttest.Samples(1)); posttest.Outcome(err) != "blocked" {
		t.Error(err)
	}
}
