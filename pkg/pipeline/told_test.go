package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/logferry/logferry/pkg/event"
)

// TestTroubleIsToldOnce: not at each try, whatever the number of the port.
func TestTroubleIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory("x")
		m.put(0, 10)
		seen, logs := observer.New(zap.InfoLevel)
		n := 1000
		sink := &crowd{}
		sink.set(func([]string) error { n++; return fmt.Errorf("read tcp 192.0.2.1:%d: connection reset", n) })
		p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: sink}}, Log: zap.New(seen)})
		if err != nil {
			t.Fatal(err)
		}
		go p.lanes[0].run(t.Context())
		pause(time.Hour)
		if logs.Len() != 1 || !strings.Contains(logs.All()[0].Message, "the same events are sent again") {
			t.Errorf("logged %+v", logs.All())
		}
		sink.set(nil)
		pause(time.Hour)
		if logs.Len() != 2 || logs.All()[1].Message != "it works again" {
			t.Errorf("logged %+v", logs.All())
		}
		close(p.lanes[0].draining)
		pause(time.Second)
	})
}

// TestSickIsNamed: what goes on failing once others pass, and not what has failed for as long as nothing passed.
func TestSickIsNamed(t *testing.T) {
	for _, bad := range []string{"", "17"} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory("x")
			for i := range 10 {
				m.put(10*i, 10)
			}
			seen, logs := observer.New(zap.WarnLevel)
			sink := &crowd{limits: event.Limits{Events: 10, InFlight: 2}}
			sink.set(func([]string) error { return errDown })
			p, err := New(Options{Journal: m, Normalizer: plain{}, Outlets: []Outlet{{Name: "x", Sink: sink}}, Log: zap.New(seen)})
			if err != nil {
				t.Fatal(err)
			}
			go p.lanes[0].run(t.Context())
			pause(10 * time.Minute)
			sink.set(func(ids []string) error {
				if slices.Contains(ids, bad) {
					return errDown
				}
				return nil
			})
			pause(10 * time.Minute)
			if named := logs.FilterMessageSnippet("fail while others pass").Len(); named != min(1, len(bad)) {
				t.Errorf("%q fails: named %d times in %+v", bad, named, logs.All())
			}
			shown := p.Status().Faults
			if len(shown) != min(1, len(bad)) || bad != "" && !strings.Contains(shown[0].Err, "event 17 of") {
				t.Errorf("%q fails: faults %+v", bad, shown)
			}
			close(p.lanes[0].draining)
			pause(time.Second)
		})
	}
}
