package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/pipeline"
)

// TestOrders: progress comes while the order is carried out, then the result or the error; the end of the client, and that of
// the process, end it.
func TestOrders(t *testing.T) {
	dir, err := os.MkdirTemp("", "lf") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ended := make(chan error, 1)
	seen := make(chan bool)
	stop, err := Control(t.Context(), dir, nil, map[string]Order{
		"count": func(_ context.Context, body []byte, tell func(any)) (any, error) {
			var n int
			if err := json.Unmarshal(body, &n); err != nil {
				return nil, err
			}
			for i := range n {
				tell(i)
				<-seen // a progress line that is held back would stop everything here
			}
			return n, nil
		},
		"refuse": func(context.Context, []byte, func(any)) (any, error) {
			return nil, &pipeline.OrderError{Reason: "no such stream"}
		},
		"break": func(context.Context, []byte, func(any)) (any, error) { return nil, errors.New("broken") },
		"hang": func(ctx context.Context, _ []byte, tell func(any)) (any, error) {
			tell("begun")
			<-ctx.Done()
			time.Sleep(10 * time.Millisecond)
			ended <- ctx.Err()
			return nil, ctx.Err()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var result int
	told := ""
	err = Have(t.Context(), dir, "count", 3, func(line json.RawMessage) {
		told += string(line)
		seen <- true
	}, &result)
	if err != nil || result != 3 || told != "012" {
		t.Errorf("%v, result %d, told %q", err, result, told)
	}
	var refused *pipeline.OrderError
	quiet := func(json.RawMessage) {}
	if err := Have(t.Context(), dir, "refuse", 0, quiet, &result); !errors.As(err, &refused) || err.Error() != "no such stream" {
		t.Errorf("refused: %v", err)
	}
	if err := Have(t.Context(), dir, "break", 0, quiet, &result); err == nil || errors.As(err, &refused) || err.Error() != "broken" {
		t.Errorf("broken: %v", err)
	}
	if err := Have(t.Context(), dir, "count", strings.Repeat("x", mostOrder), quiet, &result); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("too long: %v", err)
	}
	if err := Ask(t.Context(), dir, "hang", &result); err == nil || !strings.Contains(err.Error(), "405") {
		t.Errorf("a question is taken for an order: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := Have(ctx, dir, "hang", 0, func(json.RawMessage) { cancel() }, &result); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that goes away: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the order goes on without its client")
	}
	last := make(chan error, 1)
	err = Have(t.Context(), dir, "hang", 0, func(json.RawMessage) {
		go func() {
			stop()
			select {
			case err := <-ended:
				last <- err
			default:
				last <- errors.New("stop has not waited for the order")
			}
		}()
	}, &result)
	if err == nil {
		t.Error("an order outlives its process")
	}
	if err := <-last; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Have(t.Context(), dir, "count", 0, quiet, &result); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

// TestNoOrdersOverTCP: the admin endpoint changes nothing.
func TestNoOrdersOverTCP(t *testing.T) {
	h := NewMetrics("test").AdminHandler(func() pipeline.Status { return pipeline.Status{} })
	for _, path := range []string{"/verify", "/resend"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}")))
		if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
}
