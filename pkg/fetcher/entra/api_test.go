package entra

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
)

const (
	testTenant = "11112222-aaaa-4bbb-8ccc-333344445555"
	testClient = "66667777-dddd-4eee-9fff-888899990000"
	testSecret = "not-a-real+secret/&"
)

// api is a Graph in memory: it hands out tokens token-1, token-2, .. and leaves every other request to serve.
type api struct {
	serve func(r *http.Request) (*http.Response, error)
	token func(r *http.Request) (*http.Response, error) // instead of a token

	mu       sync.Mutex
	tokens   int
	requests []*http.Request // but those for tokens
	at       []time.Time     // of requests
	foreign  int
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") || strings.HasSuffix(r.URL.Path, "/oauth2/token") {
		if a.token != nil {
			return a.token(r)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.tokens++
		return respond(200, nil, fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"access_token":%q}`, jwt(a.tokens))), nil
	}
	a.mu.Lock()
	a.requests, a.at = append(a.requests, r), append(a.at, time.Now())
	if r.URL.Host != "graph.microsoft.com" {
		a.foreign++
	}
	a.mu.Unlock()
	return a.serve(r)
}

// jwt makes a token of which only the payload means something.
func jwt(n int) string {
	part := base64.RawURLEncoding.EncodeToString
	payload := fmt.Sprintf(`{"tid":%q,"roles":["AuditLog.Read.All"],"n":%d}`, strings.ToUpper(testTenant), n)
	return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(payload)) + "."
}

func respond(status int, header map[string]string, body string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for k, v := range header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), ProtoMajor: 1, ProtoMinor: 1}
}

// cutOff is a body that ends before its time.
type cutOff struct{ rest *bytes.Reader }

func (c cutOff) Read(p []byte) (int, error) {
	n, err := c.rest.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (cutOff) Close() error { return nil }

// testConfig is a configuration that is complete. change may be nil.
func testConfig(t testing.TB, change func(*Config)) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Tenant: "contoso.onmicrosoft.com", Auth: auth.Config{ClientID: testClient, ClientSecretFile: file}}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func newFetcher(t testing.TB, a *api, cfg Config, o Options) *Fetcher {
	t.Helper()
	o.Transport = a
	f, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// from is where the slices of tests begin.
var from = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func auditSlice() event.Slice {
	return event.Slice{Stream: "audits", Reader: "live", From: from, To: from.Add(time.Hour)}
}

// auditPage is a page with one row a minute from the given one on.
func auditPage(minute, rows int, next string) string {
	var b strings.Builder
	b.WriteString(`{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#auditLogs/directoryAudits",`)
	if next != "" {
		fmt.Fprintf(&b, `"@odata.nextLink":%q,`, next)
	}
	b.WriteString(`"value":[`)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"Directory_%d","activityDateTime":%q,"result":"success"}`, minute+i, from.Add(time.Duration(minute+i)*time.Minute).Format(time.RFC3339))
	}
	b.WriteString(`]}`)
	return b.String()
}

// all reads a slice to its end.
func all(ctx context.Context, f *Fetcher, s event.Slice) (pages int, ids []string, err error) {
	for page, pageErr := range f.Fetch(ctx, s) {
		if pageErr != nil {
			return pages, ids, pageErr
		}
		pages++
		for _, r := range page.Records {
			ids = append(ids, r.ID)
		}
	}
	return pages, ids, nil
}
