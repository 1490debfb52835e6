package entra

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/fetchertest"
)

func TestContract(t *testing.T) {
	fetchertest.Run(t, func(t *testing.T, s *fetchertest.Scenario) fetchertest.Fetcher {
		s.Slice.Stream = "audits"
		a := &api{serve: func(r *http.Request) (*http.Response, error) { return serveScenario(s, r) }}
		return newFetcher(t, a, testConfig(t, nil), Options{})
	})
}

// serveScenario is Graph as the contract wants it. The page is told by the $skiptoken.
func serveScenario(s *fetchertest.Scenario, r *http.Request) (*http.Response, error) {
	const base = "https://graph.microsoft.com"
	s.Requests.Add(1)
	if r.URL.Scheme+"://"+r.URL.Host != base {
		s.Foreign.Add(1)
	}
	n, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	page := s.Pages[n]
	link := func(base string, n int) string {
		q := r.URL.Query()
		q.Set("$skiptoken", strconv.Itoa(n))
		return base + r.URL.Path + "?" + q.Encode()
	}
	next := ""
	if n+1 < len(s.Pages) {
		next = link(base, n+1)
	}
	switch page.Fault {
	case fetchertest.Hang:
		<-r.Context().Done()
		return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: r.Context().Err()}
	case fetchertest.Unavailable:
		return respond(500, nil, `{"error":{"code":"UnknownError","message":""}}`), nil
	case fetchertest.LinkOffHost:
		next = link("https://graph.microsoft.com.example.com", n+1)
	case fetchertest.LinkLoop:
		next = link(base, n)
	}
	var rows []string
	for _, row := range page.Rows {
		rows = append(rows, fmt.Sprintf(`{"id":%q,"activityDateTime":%q,"result":"success"}`, row.ID, row.Time.Format(time.RFC3339Nano)))
	}
	if page.Fault == fetchertest.Garbled {
		rows[len(rows)-1] = strings.TrimSuffix(rows[len(rows)-1], "}") + `{"error":{"code":"BadRequest","message":"a null where none may be"}}`
	}
	body := `{"value":[` + strings.Join(rows, ",\n ") + `]`
	if next != "" {
		body += fmt.Sprintf(`,"@odata.nextLink":%q`, next)
	}
	body += `}`
	resp := respond(200, map[string]string{"Date": time.Now().UTC().Format(http.TimeFormat)}, body)
	if page.Fault == fetchertest.Broken {
		resp.Body = io.NopCloser(cutOff{bytes.NewReader([]byte(body[:len(body)/2]))})
	}
	return resp, nil
}
