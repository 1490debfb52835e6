package entra

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/field"
)

// villain is a Graph on loopback, over TLS that we trust, which does what it likes with requests for pages; other is a second
// host, just as trusted, that notes whatever reaches it.
type villain struct {
	*httptest.Server
	other *httptest.Server
	sent  atomic.Int64 // bytes that went out
	evil  atomic.Pointer[http.HandlerFunc]
	sign  atomic.Pointer[http.HandlerFunc] // instead of a token

	mu     sync.Mutex
	caught []string // by other
}

func newVillain(t *testing.T, http2 bool) *villain {
	v := &villain{}
	v.other = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.caught = append(v.caught, fmt.Sprint(r.Method, r.URL, r.Header, string(body)))
	}))
	v.Server = httptest.NewUnstartedServer(v)
	for _, s := range []*httptest.Server{v.Server, v.other} {
		s.EnableHTTP2 = http2
		s.StartTLS()
		t.Cleanup(s.Close)
	}
	return v
}

func (v *villain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sign, evil := v.sign.Load(), v.evil.Load()
	switch {
	case strings.HasSuffix(r.URL.Path, "/token") && sign != nil:
		(*sign)(w, r)
	case strings.HasSuffix(r.URL.Path, "/token"):
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, jwt(1))
	case evil != nil:
		(*evil)(w, r)
	default:
		io.WriteString(w, auditPage(0, 2, ""))
	}
}

// pour writes piece until the client has enough of it, or most bytes are out.
func (v *villain) pour(w http.ResponseWriter, head string, piece []byte, most int64) {
	io.WriteString(w, head)
	for out := int64(0); out < most; out += int64(len(piece)) {
		n, err := w.Write(piece)
		v.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// fetcher makes one that trusts both hosts.
func (v *villain) fetcher(t *testing.T, o Options) *Fetcher {
	t.Helper()
	dir := t.TempDir()
	ca, secret := filepath.Join(dir, "ca"), filepath.Join(dir, "secret")
	for path, content := range map[string][]byte{
		ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.Certificate().Raw}), secret: []byte(testSecret),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{Tenant: testTenant, LoginURL: v.URL, GraphURL: v.URL, Streams: []string{"audits"},
		Auth: auth.Config{ClientID: testClient, ClientSecretFile: secret}, Budget: Budget{Requests: 1000, Per: field.Duration(time.Second)}}
	cfg.TLS.CAFile = ca
	f, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// allocated runs do and gives how much memory was asked for meanwhile, in bytes, whoever asked.
func allocated(do func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// zipped is text many times over, compressed a thousandfold.
func zipped(text string, times int) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range times {
		io.WriteString(w, text)
	}
	w.Close()
	return b.Bytes()
}

// TestHostileServer has a server do its worst over a real connection: nothing of ours reaches another host, memory and time stay
// bounded, the error says what has happened, and when the server has come to its senses so has the stream.
func TestHostileServer(t *testing.T) {
	const mib = 1 << 20
	zeros, bomb := make([]byte, mib), zipped(strings.Repeat("\x00", mib), 16)
	redirect := func(status int) func(v *villain) http.HandlerFunc {
		return func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, v.other.URL+r.URL.Path, status)
			}
		}
	}
	for _, c := range []struct {
		name string
		evil func(v *villain) http.HandlerFunc
		sign bool // to requests for a token instead of a page
		kind Kind
		says string
		most int64 // MiB asked for; 0: 8
	}{
		{name: "nextLink to another host", evil: func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, auditPage(0, 1, v.other.URL+"/v1.0/auditLogs/directoryAudits?$skiptoken=1"))
			}
		}, kind: KindLink, says: "was not followed: the access token would go there"},
		{name: "redirect 302", evil: redirect(302), kind: KindRedirect, says: "never followed"},
		{name: "redirect 307", evil: redirect(307), kind: KindRedirect, says: "never followed"},
		{name: "redirect 308", evil: redirect(308), kind: KindRedirect, says: "never followed"},
		{name: "redirect of the sign-in", evil: redirect(307), sign: true, kind: KindAccess, says: "redirects, which is refused because the request holds the secret"},
		{name: "endless sign-in", evil: func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { v.pour(w, `{"access_token":"`, zeros, 10<<30) }
		}, sign: true, kind: KindAccess, says: "sign in"},
		{name: "10 GB of zeros", evil: func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { v.pour(w, "", zeros, 10<<30) }
		}, kind: KindTooLarge, says: "over 32 MiB", most: 128},
		{name: "10 GB announced", evil: func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "10737418240")
				v.pour(w, "", zeros, 10<<30)
			}
		}, kind: KindTooLarge, says: "over 32 MiB", most: 128},
		{name: "endless JSON", evil: func(v *villain) http.HandlerFunc {
			rows := []byte(strings.Repeat(`{"id":"1"},`, 50_000))
			return func(w http.ResponseWriter, _ *http.Request) { v.pour(w, `{"value":[`, rows, 10<<30) }
		}, kind: KindTooLarge, says: "over 32 MiB", most: 128},
		{name: "endless error", evil: func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(400)
				v.pour(w, `{"error":{"message":"`, zeros, 10<<30)
			}
		}, kind: KindRequest, says: "http status 400"},
		{name: "gzip bomb", evil: func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				v.pour(w, "", bomb, int64(64*len(bomb))) // 1 GiB when it is unpacked
			}
		}, kind: KindTooLarge, says: "over 32 MiB", most: 128},
		{name: "gzip bomb in an error", evil: func(v *villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.WriteHeader(500)
				v.pour(w, "", bomb, int64(64*len(bomb)))
			}
		}, kind: KindServer, says: "http status 500"},
		{name: "header flood", evil: func(*villain) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				for i := range 4000 {
					w.Header().Set(fmt.Sprint("X-Flood-", i), strings.Repeat("x", 1000))
				}
				io.WriteString(w, auditPage(0, 1, ""))
			}
		}, kind: KindNetwork, says: "get page", most: 32}, // the server's share is the most of it
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/http2 %v", c.name, http2), func(t *testing.T) {
				v := newVillain(t, http2)
				f := v.fetcher(t, Options{})
				evil := c.evil(v)
				if c.sign {
					v.sign.Store(&evil)
				} else {
					v.evil.Store(&evil)
				}
				began := time.Now()
				var err error
				if used, most := allocated(func() { _, _, err = all(t.Context(), f, auditSlice()) })/mib, max(c.most, 16); used > most {
					t.Errorf("%d MiB were asked for, want at most %d", used, most)
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("it took %s", took)
				}
				if KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
					t.Errorf("kind %q: %v", KindOf(err), err)
				}
				if len(err.Error()) > 4<<10 {
					t.Errorf("the error has %d bytes", len(err.Error()))
				}
				if n := v.sent.Load(); n > 100*mib {
					t.Errorf("%d MiB were taken", n/mib)
				}
				v.evil.Store(nil)
				v.sign.Store(nil)
				if _, ids, err := all(t.Context(), f, auditSlice()); err != nil || len(ids) != 2 {
					t.Errorf("afterwards %d rows, %v", len(ids), err)
				}
				v.mu.Lock()
				defer v.mu.Unlock()
				if len(v.caught) > 0 {
					t.Errorf("the other host has got %q", v.caught)
				}
				if held := len(f.shared.slots); held > 0 {
					t.Errorf("%d pages stay in memory", held)
				}
			})
		}
	}
}

// TestSlowServer sends a byte at a time over a real connection: in the header, in a page, in an error.
func TestSlowServer(t *testing.T) {
	for name, status := range map[string]int{"page": 200, "error": 500} {
		t.Run(name, func(t *testing.T) {
			v := newVillain(t, false)
			f := v.fetcher(t, Options{Timeout: time.Second})
			if _, err := f.Tenant(t.Context()); err != nil {
				t.Fatal(err)
			}
			evil := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				for r.Context().Err() == nil {
					io.WriteString(w, " ")
					w.(http.Flusher).Flush()
					time.Sleep(10 * time.Millisecond)
				}
			})
			v.evil.Store(&evil)
			began := time.Now()
			_, _, err := all(t.Context(), f, auditSlice())
			if took := time.Since(began); took < 900*time.Millisecond || took > 20*time.Second || err == nil || !HalveHint(err) {
				t.Errorf("after %s: %v", took, err)
			}
		})
	}
}

// drip is a body of which a byte comes each second.
type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (drip) Close() error { return nil }

// TestHostileReply has single replies that are well-formed in the eyes of HTTP and yet would cost memory, time or the clock.
func TestHostileReply(t *testing.T) {
	const mib = 1 << 20
	row := func(more string) string {
		return `{"value":[{"id":"Directory_1","activityDateTime":"2026-01-01T00:01:00Z"` + more + `}]}`
	}
	millions := func() string {
		var b strings.Builder
		for i := range 1_000_000 {
			fmt.Fprintf(&b, `,"m%d":%d`, i, i)
		}
		return b.String()
	}
	far := map[string]string{"request-id": "1", "Date": "Fri, 31 Dec 9999 23:59:59 GMT"}
	for _, c := range []struct {
		name   string
		status int // 0: 200
		header map[string]string
		body   string
		slow   bool
		kind   Kind // "": it is read
		says   string
		most   int64         // MiB asked for
		time   time.Duration // by the bubble's clock, until the stream goes on
	}{
		{name: "a byte a second", slow: true, kind: KindTimeout, says: "no complete reply within 2m0s", most: 4, time: 3 * time.Minute},
		{name: "deep arrays", body: row(`,"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)), kind: KindBody, says: "split page", most: 4},
		{name: "deep objects", body: row(`,"x":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)), kind: KindBody, says: "split page", most: 8},
		{name: "deep page", body: strings.Repeat("[", 100_000), kind: KindBody, says: "split page", most: 4},
		{name: "deep error", status: 400, body: strings.Repeat(`{"error":`, 5000), kind: KindRequest, says: "http status 400", most: 4},
		{name: "a million members", body: row(millions()), most: 64},
		{name: "ten million rows", body: `{"value":[` + strings.Repeat("0,", 10_000_000) + `0]}`, kind: KindBody, says: "more than 10000 rows", most: 64},
		{name: "a huge id", body: strings.Replace(row(""), "Directory_1", strings.Repeat("x", 10*mib), 1), most: 32},
		{name: "a huge time", body: strings.Replace(row(""), "2026", strings.Repeat("2", 10*mib), 1), most: 32},
		{name: "a huge nextLink", body: auditPage(0, 1, "https://graph.microsoft.com/v1.0/x?$skiptoken="+strings.Repeat("x", mib)), kind: KindLink, says: "more than any server takes", most: 16},
		{name: "Retry-After of a year", status: 429, header: map[string]string{"Retry-After": "31536000"}, kind: KindThrottled, says: "pause for 24h0m0s", most: 4, time: 25 * time.Hour},
		{name: "Retry-After in the year 9999", status: 429, header: map[string]string{"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, kind: KindThrottled, says: "pause for 24h0m0s", most: 4, time: 25 * time.Hour},
		{name: "busy for a year", status: 503, header: map[string]string{"Retry-After": "31536000"}, kind: KindThrottled, says: "pause for 10m0s", most: 4, time: 11 * time.Minute},
		{name: "Date in the year 9999", header: far, body: auditPage(0, 1, ""), most: 4},
		{name: "throttled in the year 9999", status: 429, header: map[string]string{"request-id": "1", "Date": far["Date"], "Retry-After": far["Date"]}, kind: KindThrottled, most: 4, time: 25 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well := false
				a := &api{serve: func(r *http.Request) (*http.Response, error) {
					if well {
						return respond(200, nil, auditPage(0, 2, "")), nil
					}
					resp := respond(max(200, c.status), c.header, c.body)
					if c.slow {
						resp.Body, resp.ContentLength = drip{r.Context()}, -1
					}
					return resp, nil
				}}
				f := newFetcher(t, a, testConfig(t, nil), Options{})
				began := time.Now()
				for range witnesses + 1 { // what is said often enough is believed
					var ids []string
					var err error
					if used := allocated(func() { _, ids, err = all(t.Context(), f, auditSlice()) }) / mib; used > c.most {
						t.Errorf("%d MiB were asked for, want at most %d", used, c.most)
					}
					if KindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
						t.Fatalf("kind %q: %v", KindOf(err), err)
					}
					for _, id := range ids {
						if len(id) > mostID {
							t.Errorf("an id of %d bytes", len(id))
						}
					}
					if err != nil && len(err.Error()) > 4<<10 {
						t.Errorf("the error has %d bytes", len(err.Error()))
					}
					if off := time.Until(f.Now()).Abs(); off > time.Minute {
						t.Fatalf("the clock is off by %s", off)
					}
					if fault.Of(err) == fault.Blocked {
						t.Errorf("blocked: %v", err)
					}
					if c.time > 0 {
						break
					}
				}
				well = true
				if _, ids, err := all(t.Context(), f, auditSlice()); err != nil || len(ids) != 2 {
					t.Errorf("afterwards %d rows, %v", len(ids), err)
				}
				if took := time.Since(began); c.time > 0 && took > c.time {
					t.Errorf("the stream went on after %s", took)
				}
				if a.foreign > 0 {
					t.Error("another host got a request")
				}
			})
		})
	}
}
