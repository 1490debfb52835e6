package fault

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestClasses(t *testing.T) {
	cause := errors.New("boom")
	for _, tt := range []struct {
		name  string
		err   error
		class Class
		pause time.Duration
	}{
		{"unknown", cause, Retryable, 0},
		{"after", After(2*time.Second, cause), Retryable, 2 * time.Second},
		{"blocked", Block(cause), Blocked, 0},
		{"poison", Refuse(cause, "no"), Poison, 0},
		{"partial", Some(map[int]error{3: cause}), Partial, 0},
		{"wrapped", fmt.Errorf("send: %w", Block(cause)), Blocked, 0},
		{"outermost wins", Block(After(time.Second, cause)), Blocked, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if Of(tt.err) != tt.class || Pause(tt.err) != tt.pause {
				t.Errorf("class %v, pause %v; want %v, %v", Of(tt.err), Pause(tt.err), tt.class, tt.pause)
			}
			if tt.class != Partial && !errors.Is(tt.err, cause) {
				t.Error("the cause is gone")
			}
		})
	}
	if got := Failed(Some(map[int]error{3: cause}))[3]; got != cause {
		t.Errorf("failed[3] = %v", got)
	}
	if r := Reply(Refuse(cause, strings.Repeat("x", 5000))); len(r) > 1100 {
		t.Errorf("a reply of %d bytes is kept", len(r))
	}
}

func TestFromHTTP(t *testing.T) {
	for status, want := range map[int]Class{
		401: Blocked, 403: Blocked, 404: Blocked, 400: Poison, 413: Poison, 415: Poison, 422: Poison,
		408: Retryable, 429: Retryable, 500: Retryable, 502: Retryable, 503: Retryable, 504: Retryable, 302: Retryable, 418: Retryable,
	} {
		if err := FromHTTP(status, http.Header{}, []byte("<h1>no</h1>")); err == nil || Of(err) != want {
			t.Errorf("%d: %v (%v), want %v", status, err, Of(err), want)
		}
	}
	for _, status := range []int{200, 201, 204} {
		if err := FromHTTP(status, nil, nil); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	err := FromHTTP(429, http.Header{"Retry-After": {"2.128"}}, nil)
	if Pause(err) != 2128*time.Millisecond {
		t.Errorf("a fractional Retry-After became %v", Pause(err))
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"3": 3 * time.Second, "0.5": 500 * time.Millisecond, "-4": 0, "1e300": 24 * time.Hour, "Inf": 24 * time.Hour,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		if got, ok := RetryAfter(http.Header{"Retry-After": {text}}, now); !ok || got != want {
			t.Errorf("%q: %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "soon", "NaN"} {
		if d, ok := RetryAfter(http.Header{"Retry-After": {text}}, now); ok {
			t.Errorf("%q was read as %v", text, d)
		}
	}
}
