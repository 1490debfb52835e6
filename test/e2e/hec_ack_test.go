package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestHECWithoutAck: a receiver that offers no acknowledgement is not asked for one.
func TestHECWithoutAck(t *testing.T) {
	t.Parallel()
	need(t, "hecpeer")
	g := newGraph(t, simulator.Options{})
	r := receive(t, "hecpeer", g.file("peer"))
	a := newAckWatch(t, r.Address)
	config := g.config(t, "c.yaml", "", g.hec("asks", a.URL, "if_offered"), g.hec("never", a.URL, "off"))
	g.run(t, config)
	want := g.shown(t)
	compare(t, "if_offered", want, fromHEC(t, r, "asks"))
	compare(t, "off", want, fromHEC(t, r, "never"))
	if given, confirmed := a.acks(); given != 0 || confirmed != 0 {
		t.Errorf("%d acknowledgements were promised and %d given by a receiver that has none", given, confirmed)
	}
}

// TestHECWithAck: what the receiver promises to acknowledge counts as delivered only once it has done so.
func TestHECWithAck(t *testing.T) {
	t.Parallel()
	need(t, "hecpeer")
	g := newGraph(t, simulator.Options{})
	r := receive(t, "hecpeer", g.file("peer"), "-ack")
	a := newAckWatch(t, r.Address)
	config := g.config(t, "c.yaml", "", g.hec("must", a.URL, "required"), g.hec("may", a.URL, "if_offered"))
	g.run(t, config)
	want := g.shown(t)
	compare(t, "required", want, fromHEC(t, r, "must"))
	compare(t, "if_offered", want, fromHEC(t, r, "may"))
	if given, confirmed := a.acks(); given == 0 || confirmed != given {
		t.Errorf("%d acknowledgements were promised and %d asked for until they came", given, confirmed)
	}
}

// hec is a sink's block; its events are found by source.
func (g *graph) hec(source, endpoint, ack string) string {
	return fmt.Sprintf("name: %[1]s\nschema: ecs\nsplunk: {endpoints: [%[2]s], token_file: %[3]s, source: %[1]s, ack: %[4]s, batch: {events: 100}}",
		source, endpoint, g.file("client-secret"), ack)
}

// ackWatch stands before a collector and reads along.
type ackWatch struct {
	*httptest.Server
	mu        sync.Mutex
	given     map[string]bool // what was promised, by channel and number
	confirmed map[string]bool // and acknowledged
}

func newAckWatch(t *testing.T, address string) *ackWatch {
	t.Helper()
	a := &ackWatch{given: map[string]bool{}, confirmed: map[string]bool{}}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.ModifyResponse = a.note
	a.Server = httptest.NewServer(proxy)
	t.Cleanup(a.Close)
	return a
}

func (a *ackWatch) note(r *http.Response) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var reply struct {
		AckID *int            `json:"ackId"`
		Acks  map[string]bool `json:"acks"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return nil // a refusal
	}
	channel := strings.ToLower(r.Request.Header.Get("X-Splunk-Request-Channel") + r.Request.URL.Query().Get("channel"))
	a.mu.Lock()
	defer a.mu.Unlock()
	if reply.AckID != nil {
		a.given[fmt.Sprint(channel, *reply.AckID)] = true
	}
	for number, stored := range reply.Acks {
		if stored {
			a.confirmed[channel+number] = true
		}
	}
	return nil
}

// acks tells how many acknowledgements were promised, and how many of those given.
func (a *ackWatch) acks() (given, confirmed int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.given {
		if a.confirmed[id] {
			confirmed++
		}
	}
	return len(a.given), confirmed
}
