package entra

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// TestSpacing: requests of all readers together leave one by one, evenly spaced.
func TestSpacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, auditPage(0, 1, "")), nil }}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, _, err := all(t.Context(), f, auditSlice()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for i := 1; i < len(a.at); i++ {
			if d := a.at[i].Sub(a.at[i-1]); d < 2*time.Second+30*time.Millisecond || d > 2*time.Second+50*time.Millisecond {
				t.Errorf("request %d came %s after the one before", i, d)
			}
		}
		if len(a.at) != 20 || a.tokens != 1 || f.Budget().Granted[event.ClassLive] != 20 {
			t.Errorf("%d requests, %d tokens, %+v", len(a.at), a.tokens, f.Budget())
		}
	})
}

// TestClassesOfSlices: what a slice is for decides when its request leaves.
func TestClassesOfSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, auditPage(0, 1, "")), nil }}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		var group sync.WaitGroup
		for i := range 40 {
			group.Go(func() {
				s := auditSlice()
				if s.Class = event.ClassBackfill; i >= 30 {
					s.Class = event.ClassLive
				}
				_, _, _ = all(t.Context(), f, s)
			})
			synctest.Wait() // live comes last
		}
		time.Sleep(39 * time.Second)
		if granted := f.Budget().Granted; granted[event.ClassLive] < 9 || granted[event.ClassBackfill] < 9 {
			t.Errorf("of the first twenty requests %d were live's", granted[event.ClassLive])
		}
		group.Wait()
	})
}

// TestPauseHoldsAll: a 429 to one reader holds up all others for as long as it says.
func TestPauseHoldsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, first := &api{}, true
		a.serve = func(*http.Request) (*http.Response, error) {
			if first {
				first = false
				time.Sleep(time.Second) // the others are waiting for their turn by now
				return respond(429, map[string]string{"Retry-After": "30.5"}, ""), nil
			}
			return respond(200, nil, auditPage(0, 1, "")), nil
		}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() { _, _, _ = all(t.Context(), f, auditSlice()) })
		}
		group.Wait()
		if len(a.at) != 5 {
			t.Fatalf("%d requests", len(a.at))
		}
		if d := a.at[1].Sub(a.at[0]); d != 31500*time.Millisecond {
			t.Errorf("the next request came after %s", d)
		}
		for i := 2; i < len(a.at); i++ {
			if d := a.at[i].Sub(a.at[i-1]); d < 2*time.Second {
				t.Errorf("request %d came %s after the one before: a burst behind the pause", i, d)
			}
		}
	})
}

// TestSlowSignIn: where a new token takes long, those whose turn comes meanwhile do not leave all at once when it is there.
func TestSlowSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &api{serve: func(*http.Request) (*http.Response, error) { return respond(200, nil, auditPage(0, 1, "")), nil }}
		a.token = func(*http.Request) (*http.Response, error) {
			time.Sleep(15 * time.Second)
			return respond(200, nil, `{"token_type":"Bearer","expires_in":90,"access_token":"`+jwt(1)+`"}`), nil
		}
		f := newFetcher(t, a, testConfig(t, nil), Options{})
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if _, _, err := all(t.Context(), f, auditSlice()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if !slices.IsSortedFunc(a.at, time.Time.Compare) || len(a.at) != 100 {
			t.Fatalf("%d requests at %v", len(a.at), a.at)
		}
		for i := 5; i < len(a.at); i++ {
			if d := a.at[i].Sub(a.at[i-5]); d < 10*time.Second {
				t.Fatalf("requests %d to %d came within %s", i-5, i, d)
			}
		}
	})
}
