package kill

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// received is what a receiver has stored. It outlives the shipper.
type received struct {
	name string

	mu       sync.Mutex
	contents map[uint64]bool
	repeats  int
	named    map[string]uint64 // event id -> content
	faults   []string
}

func newReceived(name string) *received {
	return &received{name: name, contents: map[uint64]bool{}, named: map[string]uint64{}}
}

// put stores an event. A repeat must have the event id that it had before, anything else must have another one. eventID is ""
// where the receiver does not learn it.
func (r *received) put(eventID string, raw []byte) {
	content := contentOf(raw)
	r.mu.Lock()
	defer r.mu.Unlock()
	repeat := r.contents[content]
	r.contents[content] = true
	if repeat {
		r.repeats++
	}
	if eventID == "" {
		return
	}
	had, known := r.named[eventID]
	switch {
	case known && had != content:
		r.fault("event id %s stands for two contents", eventID)
	case !known && repeat:
		r.fault("a repeat came under a new event id %s", eventID)
	}
	r.named[eventID] = content
}

func (r *received) fault(format string, args ...any) {
	if len(r.faults) < 10 {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}

// reject notes what no shipper should send.
func (r *received) reject(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault(format, args...)
}

func (r *received) repeated() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repeats
}

// hec is an HTTP Event Collector that is busy now and then, and now and then breaks the connection after it has stored.
type hec struct {
	*received
	url     string
	unknown atomic.Int64 // requests that were stored and not answered
	close   func()       // waits for what is under way

	mu  sync.Mutex
	rng *rand.Rand
}

func newHEC(t *testing.T, seed uint64) *hec {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hec{received: newReceived("hec"), url: "http://" + l.Addr().String(), rng: rand.New(rand.NewPCG(seed, 2))}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(l)
	}()
	h.close = sync.OnceFunc(func() {
		server.Shutdown(context.Background())
		<-done
	})
	t.Cleanup(h.close)
	return h
}

// atOnce is how many Sends a lane has under way, or behind it and not yet in the state file: twice as many as the sink takes at once.
const atOnce = 4

// bound is how many repeats are in order: those when it dies; and a request that got no answer is made again.
func (h *hec) bound(kills int) int { return (atOnce*kills + int(h.unknown.Load())) * batchEvents }

func (h *hec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	events, err := hecEvents(r.Body)
	if err != nil {
		// A request that was cut off by a kill looks like this too. It is not stored.
		http.Error(w, `{"text":"Invalid data format","code":6}`, http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	chance := h.rng.Float64()
	h.mu.Unlock()
	if chance < 0.02 {
		http.Error(w, `{"text":"Server is busy","code":9}`, http.StatusServiceUnavailable)
		return
	}
	if chance < 0.04 {
		h.unknown.Add(1) // before anything is stored: a repeat is in order from now on
	}
	for _, e := range events {
		h.put(e.Fields.EventID, e.Event.Entra)
	}
	if chance < 0.04 {
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, `{"text":"Success","code":0}`)
}

// envelope is what is looked at of an event: its id and the record as the service sent it, byte for byte.
type envelope struct {
	Event  ecs
	Fields struct {
		EventID string `json:"event_id"`
	}
}

type ecs struct {
	Entra json.RawMessage
}

func hecEvents(body io.Reader) (events []envelope, err error) {
	plain, err := gzip.NewReader(body)
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(plain); ; {
		var e envelope
		switch err := d.Decode(&e); {
		case err == io.EOF:
			return events, nil
		case err != nil:
			return nil, err
		}
		events = append(events, e)
	}
}

// syslogReceiver takes octet-counted frames over TCP. From time to time it says that it wants to close, as one that restarts
// does, and reads on until the shipper has closed: what it has then is all that was sent.
type syslogReceiver struct {
	*received
	address  string
	goodbyes atomic.Int64
	least    int // octets of the smallest message; received's mutex guards it
	close    func()
}

func newSyslogReceiver(t *testing.T, seed uint64) *syslogReceiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &syslogReceiver{received: newReceived("syslog"), address: "tcp://" + l.Addr().String(), least: 1 << 20}
	rng := rand.New(rand.NewPCG(seed, 3))
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			until := 500 + rng.IntN(2500)
			all.Go(func() { s.serve(conn, until) })
		}
	})
	s.close = sync.OnceFunc(func() {
		l.Close()
		all.Wait()
	})
	t.Cleanup(s.close)
	return s
}

// bound is that of the others, and what the sink sends again behind each goodbye: the run that was cut off and what it has sent
// last before.
func (s *syslogReceiver) bound(kills int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return kills*batchEvents + int(s.goodbyes.Load())*(replayOctets/s.least+1+batchEvents)
}

func (s *syslogReceiver) serve(conn net.Conn, until int) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n := 1; ; n++ {
		message, err := frame(in)
		if err != nil {
			if err != io.EOF {
				s.reject("frame: %v", err)
			}
			return
		}
		s.mu.Lock()
		s.least = min(s.least, len(message))
		s.mu.Unlock()
		_, rest, ok := bytes.Cut(message, []byte(` event_id="`))
		id, rest, ok2 := bytes.Cut(rest, []byte(`"`))
		_, body, ok3 := bytes.Cut(rest, []byte("] "))
		if !ok || !ok2 || !ok3 {
			s.reject("message without event id or body: %.200s", message)
			return
		}
		s.put(string(id), body)
		if n == until {
			s.goodbyes.Add(1)
			conn.(*net.TCPConn).CloseWrite()
		}
	}
}

// frame reads LEN SP MESSAGE. A connection that ends, between frames or within one, is io.EOF: the shipper has died.
func frame(in *bufio.Reader) ([]byte, error) {
	length, err := in.ReadString(' ')
	if err != nil {
		return nil, io.EOF // a reset too
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, " "))
	if err != nil || n <= 0 || n > 1<<20 {
		return nil, fmt.Errorf("%q is no octet count", length)
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(in, message); err != nil {
		return nil, io.EOF
	}
	return message, nil
}

// readFile makes what a file sink has written into what was received.
func readFile(t *testing.T, path string) *received {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) == 0 || text[len(text)-1] != '\n' {
		t.Error("file: the last line is not whole")
	}
	r := newReceived("file")
	for line := range bytes.Lines(text) {
		var e ecs
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("file: a line is not whole: %v: %.200s", err, line)
		}
		r.put("", e.Entra)
	}
	return r
}
