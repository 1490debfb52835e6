// Package posttest has what the tests of sinks over HTTP share.
package posttest

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// Tenant is that of all samples.
const Tenant = "11111111-2222-3333-4444-555555555555"

// Sample makes an event of the stream with that body.
func Sample(n int, stream, body string) event.Event {
	e := event.Event{Body: []byte(body), Record: event.Record{
		Key:  event.StreamKey{Cloud: "global", Tenant: Tenant, Stream: stream},
		ID:   fmt.Sprintf("record-%d", n),
		Time: time.Date(2026, 3, 1, 23, 59, 59, 123_456_700, time.UTC),
	}}
	e.EventID = e.Record.EventID()
	return e
}

// Samples makes n small events.
func Samples(n int) []event.Event {
	var events []event.Event
	for i := range n {
		events = append(events, Sample(i, "signins.interactive", fmt.Sprintf(`{"n":%d}`, i)))
	}
	return events
}

// SignIns are bodies of about 3.5 KB for benchmarks: a sign-in with the record kept inside. Ids, names, addresses and times differ.
func SignIns(n int) []event.Event {
	var events []event.Event
	for i := range n {
		h := uint64(i+1) * 0x9e3779b97f4a7c15
		id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(h), uint16(h>>32), h>>48&0xfff, h>>52&0xfff, h*31>>16)
		var b strings.Builder
		fmt.Fprintf(&b, `{"@timestamp":"2026-03-01T12:%02d:%02d.%07dZ","event":{"id":"%s","kind":"event","outcome":"success"},`, i/60%60, i%60, h%10_000_000, id)
		fmt.Fprintf(&b, `"user":{"id":"%s","name":"user%d@contoso.com"},"source":{"ip":"192.0.2.%d"},"entra":{`, id, i%997, h%256)
		for k := range 29 {
			fmt.Fprintf(&b, `"conditionalAccessProperty%02d":{"id":"%08x-%04x","displayName":"Policy number %d","result":"notApplied"},`, k, uint32(h>>(k%32)), uint16(h), k)
		}
		fmt.Fprintf(&b, `"correlationId":"%s","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64)"}}`, id)
		events = append(events, Sample(i, "signins.interactive", b.String()))
	}
	return events
}

// RoundTripper is a peer in memory, for synctest bubbles and benchmarks.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip answers a request.
func (f RoundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Reply makes a response without a length, as RoundTripper gives it.
func Reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(strings.NewReader(body))}
}

// SecretFile writes a secret to a file and gives its path.
func SecretFile(t testing.TB, secret string) string {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Outcome names what a sink says, for tables.
func Outcome(err error) string {
	if err == nil {
		return "accepted"
	}
	return fault.Of(err).String()
}

// Paths gives the fields that a Validate has found faults in, in its order.
func Paths(t testing.TB, err error) string {
	var paths []string
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var f *field.Error
			if !errors.As(e, &f) {
				t.Fatalf("%v is not a field.Error", e)
			}
			paths = append(paths, f.Path)
		}
	}
	return strings.Join(paths, " ")
}

// TLSServer starts a server with a certificate for 127.0.0.1 and example.com, and gives it with the file of its CA.
func TLSServer(t testing.TB, h http.Handler) (server *httptest.Server, caFile string) {
	server = httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, caFile
}

// Misbehave answers as a peer in mode CutBefore or Hang does, whatever its protocol, and gives false in any other.
func Misbehave(w http.ResponseWriter, r *http.Request, mode sinktest.Mode) bool {
	switch mode {
	case sinktest.CutBefore:
		Cut(w)
	case sinktest.Hang:
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	default:
		return false
	}
	return true
}

// Cut closes the connection without a reply.
func Cut(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler) // in memory
	}
	if conn, _, err := hijacker.Hijack(); err == nil {
		conn.Close()
	}
}

// Told gives all texts of an error that people get to see.
func Told(err error) []string {
	if err == nil {
		return nil
	}
	told := []string{err.Error(), fault.Reply(err)}
	for _, cause := range fault.Failed(err) {
		told = append(told, cause.Error(), fault.Reply(cause))
	}
	return told
}

// UntilAccepted sends until a rotated secret is in use: the file is looked at once a second. Until then send is Blocked.
func UntilAccepted(t *testing.T, send func() error) {
	late := time.After(10 * time.Second)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := send()
		if err == nil {
			return
		}
		if fault.Of(err) != fault.Blocked {
			t.Fatalf("with the old secret: %v", err)
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("the new secret is not in use: %v", err)
		}
	}
}
