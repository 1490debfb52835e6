package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/logferry/logferry/pkg/pipeline"
)

// Order does what it is asked for in body, a JSON object, and may take hours; what it tells meanwhile goes to the client at once.
type Order func(ctx context.Context, body []byte, tell func(progress any)) (result any, err error)

// told is one line of the answer to an order: first progress, then result or error.
type told struct {
	Progress json.RawMessage `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Err      string          `json:"error,omitempty"`
	Refused  bool            `json:"refused,omitempty"` // the error is a *pipeline.OrderError
}

const mostOrder = 64 << 10 // bytes of a request

// orders serves them and knows those under way.
type orders struct {
	end     context.CancelFunc
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

func newOrders(ctx context.Context, mux *http.ServeMux, all map[string]Order) *orders {
	ctx, end := context.WithCancel(ctx)
	o := &orders{end: end}
	for name, order := range all {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			if !o.begin() {
				http.Error(w, "this process is about to end", http.StatusServiceUnavailable)
				return
			}
			defer o.running.Done()
			serveOrder(ctx, w, r, order)
		})
	}
	return o
}

func (o *orders) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stopped {
		o.running.Add(1)
	}
	return !o.stopped
}

// stop ends all orders and waits for them: behind it the state file is closed.
func (o *orders) stop() {
	o.mu.Lock()
	o.stopped = true
	o.mu.Unlock()
	o.end()
	o.running.Wait()
}

func serveOrder(ctx context.Context, w http.ResponseWriter, r *http.Request, order Order) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostOrder))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// Both ends count: that of the client's connection and that of the process.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)()
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	say := func(line told) {
		_ = json.NewEncoder(w).Encode(line) // a client that has gone away
		_ = flush.Flush()
	}
	result, err := order(ctx, body, func(progress any) {
		if text, err := json.Marshal(progress); err == nil {
			say(told{Progress: text})
		}
	})
	var last told
	if err == nil {
		last.Result, err = json.Marshal(result)
	}
	if err != nil {
		var refused *pipeline.OrderError
		last = told{Err: err.Error(), Refused: errors.As(err, &refused)}
	}
	say(last)
}

// Have gives an order to the process that runs on the state folder; ErrNotRunning if there is none. progress gets each progress
// line, the result is read into result. An order that cannot be followed as it stands is a *pipeline.OrderError. The end of ctx
// ends the order.
func Have(ctx context.Context, dir, name string, order any, progress func(json.RawMessage), result any) error {
	body, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("ask the running process: %w", err)
	}
	res, err := send(ctx, dir, http.MethodPost, name, bytes.NewReader(body), 0)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for lines := json.NewDecoder(res.Body); ; {
		var line told
		if err := lines.Decode(&line); err != nil {
			return fmt.Errorf("ask the running process: its answer has no end: %w", err)
		}
		switch {
		case line.Progress != nil:
			progress(line.Progress)
		case line.Refused:
			return &pipeline.OrderError{Reason: line.Err}
		case line.Err != "":
			return errors.New(line.Err)
		default:
			if err := json.Unmarshal(line.Result, result); err != nil {
				return fmt.Errorf("ask the running process: %w", err)
			}
			return nil
		}
	}
}
