package post

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

func TestNodes(t *testing.T) {
	now := time.Now()
	one := NewNodes(make([]*url.URL, 1))
	one.Failed(0, now)
	if at, _ := one.Pick(now); at != 0 {
		t.Errorf("the only endpoint became %d", at)
	}
	two := NewNodes(make([]*url.URL, 2))
	two.Failed(0, now)
	two.Failed(0, now) // another request had gone there, too
	if at, _ := two.Pick(now); at != 1 {
		t.Errorf("after two failures of one endpoint %d is used", at)
	}
	two.Failed(1, now)
	if at, _ := two.Pick(now); at != 0 {
		t.Errorf("after the last endpoint %d is used", at)
	}
}

// TestTry: which failures leave an endpoint, and that the first one comes back.
func TestTry(t *testing.T) {
	failure := errors.New("x")
	for _, tt := range []struct {
		name string
		err  error
		over bool // the caller's context has ended
		want string
	}{
		{"accepted", nil, false, "a"},
		{"retryable", failure, false, "b"},
		{"after", fault.After(time.Second, failure), false, "b"},
		{"blocked", fault.Block(failure), false, "b"},
		{"poison", fault.Refuse(failure, ""), false, "a"},
		{"partial", fault.Some(map[int]error{0: failure}), false, "a"},
		{"cancelled", failure, true, "a"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := NewNodes([]*url.URL{{Host: "a"}, {Host: "b"}})
			ctx, cancel := context.WithCancel(t.Context())
			if tt.over {
				cancel()
			}
			defer cancel()
			if err := n.Try(ctx, func(*url.URL) error { return tt.err }); err != tt.err {
				t.Errorf("%s: %v", tt.name, err)
			}
			used := ""
			use := func(to *url.URL) error { used = to.Host; return nil }
			if n.Try(t.Context(), use); used != tt.want {
				t.Errorf("%s: then %s is used, want %s", tt.name, used, tt.want)
			}
			time.Sleep(ComeBack)
			if n.Try(t.Context(), use); used != "a" {
				t.Errorf("%s: after %s %s is used", tt.name, ComeBack, used)
			}
		})
	}
}
