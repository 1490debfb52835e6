package splunk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// outcome names what judge says, for tables.
var outcome = posttest.Outcome

// rule judges a reply to n events.
func rule(status int, header http.Header, body string, n int, oneIndex bool) error {
	return judge{events: n, oneIndex: oneIndex, prefix: "auto"}.rule(status, header, []byte(body)).err
}

// TestJudgeCodes goes over every code that Splunk documents, with its own status, for a request of three events.
func TestJudgeCodes(t *testing.T) {
	for _, c := range []struct {
		code, status    int
		want, withThird string // withThird: with invalid-event-number 2
	}{
		{0, 200, "accepted", "retryable"},
		{1, 403, "blocked", "blocked"},
		{2, 401, "blocked", "blocked"},
		{3, 401, "blocked", "blocked"},
		{4, 403, "blocked", "blocked"},
		{5, 400, "retryable", "retryable"},
		{6, 400, "poison", "partial"},
		{7, 400, "blocked", "blocked"},
		{8, 500, "retryable", "retryable"},
		{9, 503, "retryable", "retryable"},
		{10, 400, "blocked", "blocked"},
		{11, 400, "retryable", "retryable"},
		{12, 400, "poison", "partial"},
		{13, 400, "poison", "partial"},
		{14, 400, "blocked", "blocked"},
		{15, 400, "poison", "partial"},
		{16, 400, "blocked", "blocked"},
		{17, 200, "blocked", "blocked"},
		{18, 503, "retryable", "retryable"},
		{19, 503, "retryable", "retryable"},
		{20, 503, "retryable", "retryable"},
		{21, 400, "blocked", "blocked"},
		{22, 400, "blocked", "blocked"},
		{23, 503, "retryable", "retryable"},
		{24, 200, "accepted", "retryable"},
		{25, 200, "accepted", "retryable"},
		{26, 429, "retryable", "retryable"},
		{27, 429, "retryable", "retryable"},
		{28, 200, "retryable", "retryable"}, // not known
		{28, 400, "poison", "poison"},
		{28, 403, "blocked", "blocked"},
		{28, 503, "retryable", "retryable"},
		{-1, 200, "retryable", "retryable"},
		{404, 404, "blocked", "blocked"},
	} {
		for number, want := range map[string]string{"": c.want, `,"invalid-event-number":2`: c.withThird} {
			body := fmt.Sprintf(`{"text":"words","code":%d%s}`, c.code, number)
			err := rule(c.status, http.Header{}, body, 3, true)
			if got := outcome(err); got != want {
				t.Errorf("%d %s: %s, want %s: %v", c.status, body, got, want, err)
			}
			if err != nil && fault.Of(err) != fault.Partial && !strings.Contains(err.Error(), fmt.Sprint("code ", c.code)) {
				t.Errorf("%d %s: the error does not name the code: %v", c.status, body, err)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	const html = "<!doctype html><html><head><title>no</title></head><body>no</body></html>"
	for _, c := range []struct {
		name   string
		status int
		body   string
		n      int
		want   string
	}{
		{"200 of something else", 200, html, 3, "retryable"},
		{"200 without a body", 200, "", 3, "retryable"},
		{"200 without a code", 200, `{"text":"Success"}`, 3, "retryable"},
		{"200 with a null code", 200, `{"text":"Success","code":null}`, 3, "retryable"},
		{"200 with a code of another type", 200, `{"text":"Success","code":"0"}`, 3, "retryable"},
		{"200 cut short", 200, `{"text":"Success","code":0`, 3, "retryable"},
		{"200 twice", 200, `{"text":"Success","code":0}{"code":0}`, 3, "retryable"},
		{"200 in a list", 200, `[{"text":"Success","code":0}]`, 3, "retryable"},
		{"200 with an id for acknowledgement", 200, `{"text":"Success","code":0,"ackId":7}`, 3, "accepted"},
		{"200 busy", 200, `{"text":"Server is busy","code":9}`, 3, "retryable"},
		{"200 invalid token", 200, `{"text":"Invalid token","code":4}`, 3, "blocked"},
		{"201 success", 201, `{"text":"Success","code":0}`, 3, "retryable"},
		{"204", 204, "", 3, "retryable"},
		{"503 success", 503, `{"text":"Success","code":0}`, 3, "retryable"},
		{"400 success", 400, `{"text":"Success","code":0}`, 3, "retryable"},
		{"400 token disabled", 400, `{"text":"Token disabled","code":1}`, 3, "blocked"},
		{"503 bad event", 503, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, 3, "retryable"},
		{"400 of a proxy", 400, html, 1, "blocked"},
		{"400 cut short", 400, `{"text":"Invalid data format","co`, 3, "retryable"},
		{"200 with an id that cannot be asked for", 200, `{"text":"Success","code":0,"ackId":-1.5}`, 3, "retryable"},
		{"400 plain", 400, "Client sent an HTTP request to an HTTPS server.\n", 1, "blocked"},
		{"number of the only event", 400, `{"code":6,"invalid-event-number":0}`, 1, "poison"},
		{"number of no event", 400, `{"code":6,"invalid-event-number":3}`, 3, "poison"},
		{"negative number", 400, `{"code":6,"invalid-event-number":-1}`, 3, "poison"},
		{"302", 302, html, 3, "retryable"},
		{"401", 401, html, 3, "blocked"},
		{"403", 403, html, 3, "blocked"},
		{"404", 404, html, 3, "blocked"},
		{"405", 405, html, 3, "blocked"},
		{"407", 407, html, 3, "blocked"},
		{"408", 408, html, 3, "retryable"},
		{"409", 409, html, 3, "retryable"},
		{"413", 413, html, 3, "poison"},
		{"413 alone", 413, html, 1, "poison"},
		{"415 in plain text", 415, html, 3, "blocked"},
		{"429", 429, html, 3, "retryable"},
		{"500", 500, html, 3, "retryable"},
		{"502", 502, html, 3, "retryable"},
		{"504", 504, html, 3, "retryable"},
		{"no such status", 999, html, 3, "retryable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := rule(c.status, http.Header{}, c.body, c.n, true)
			if got := outcome(err); got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, err)
			}
			if err != nil && len(err.Error()) > 600 {
				t.Errorf("the error has %d bytes: %v", len(err.Error()), err)
			}
		})
	}
}

func TestJudgeIndex(t *testing.T) {
	for _, c := range []struct {
		body     string
		n        int
		oneIndex bool
		want     string
	}{
		{`{"code":7,"invalid-event-number":1}`, 3, true, "blocked"},
		{`{"code":7}`, 3, true, "blocked"},
		{`{"code":7,"invalid-event-number":1}`, 3, false, "partial"},
		{`{"code":7}`, 3, false, "partial"},
		{`{"code":7,"invalid-event-number":0}`, 1, false, "poison"},
	} {
		if got := outcome(rule(400, http.Header{}, c.body, c.n, c.oneIndex)); got != c.want {
			t.Errorf("%s, %d events, one index %t: %s, want %s", c.body, c.n, c.oneIndex, got, c.want)
		}
	}
}

func TestJudgePartial(t *testing.T) {
	body := `{"text":"Event field is required","code":12,"invalid-event-number":1}`
	err := rule(400, http.Header{}, body, 4, true)
	failed := fault.Failed(err)
	if len(failed) != 4 {
		t.Fatalf("%d events failed, want all 4: %v", len(failed), err)
	}
	for i, cause := range failed {
		want := fault.Retryable
		if i == 1 {
			want = fault.Poison
		}
		if fault.Of(cause) != want || fault.Suspected(cause) != (i == 1) {
			t.Errorf("event %d is %s, want %s; suspected %t", i, fault.Of(cause), want, fault.Suspected(cause))
		}
	}
	if fault.Reply(failed[1]) != body {
		t.Errorf("the reply is %q", fault.Reply(failed[1]))
	}
}

func TestJudgeRetryAfter(t *testing.T) {
	header := http.Header{"Retry-After": {"2.5"}}
	for _, body := range []string{`{"text":"Server is busy","code":9}`, "<html>"} {
		if got := fault.Pause(rule(503, header, body, 3, true)); got != 2500*time.Millisecond {
			t.Errorf("%s: pause is %s", body, got)
		}
	}
}

// FuzzJudgeAcks: only a clear true is one.
func FuzzJudgeAcks(f *testing.F) {
	f.Add(200, []byte(`{"acks":{"0":true,"1":false}}`))
	f.Add(400, []byte(`{"text":"ACK is disabled","code":14}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		told := judgeAcks("splunk.example.com", status, body, post.Secrets{testToken})
		if len(told.indexed) == 0 {
			return
		}
		var r struct{ Acks map[string]bool }
		if json.Unmarshal(body, &r) != nil || status != 200 {
			t.Fatalf("status %d, body %q tells %v", status, body, told.indexed)
		}
		for _, id := range told.indexed {
			if !r.Acks[id] {
				t.Errorf("%q is told by %q", id, body)
			}
		}
	})
}

func FuzzJudge(f *testing.F) {
	for code := range len(codes) + 1 {
		f.Add(200, "1", fmt.Appendf(nil, `{"text":"t","code":%d}`, code), 3)
		f.Add(400, "", fmt.Appendf(nil, `{"text":"t","code":%d,"invalid-event-number":1}`, code), 3)
	}
	f.Add(413, "Wed, 21 Oct 2026 07:28:00 GMT", []byte("<html>\xff"), 1)
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte, n int) {
		n = 1 + (n&0x7fffffff)%1000
		for _, oneIndex := range []bool{true, false} {
			err := rule(status, http.Header{"Retry-After": {retryAfter}}, string(body), n, oneIndex)
			if err == nil {
				var r struct {
					Code   *int            `json:"code"`
					Number json.RawMessage `json:"invalid-event-number"`
				}
				if json.Unmarshal(body, &r) != nil || status != 200 || r.Code == nil || *r.Code != 0 && *r.Code != 24 && *r.Code != 25 {
					t.Fatalf("status %d, body %q is accepted", status, body)
				}
				continue
			}
			if len(err.Error()) > 4096 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			for i, cause := range fault.Failed(err) {
				if i < 0 || i >= n || fault.Of(cause) == fault.Partial {
					t.Errorf("event %d of %d: %v", i, n, cause)
				}
			}
		}
	})
}
