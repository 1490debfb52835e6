package pipeline

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestGate: who is inside is waited for, who comes then waits, and all get in when it opens.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		began := time.Now()
		events := make(chan string, 10)
		say := func(what string) { events <- what + " " + time.Since(began).String() }
		pass := func(name string, at, stay time.Duration) {
			time.Sleep(at)
			g.enter()
			say(name + " in")
			time.Sleep(stay)
			g.leave()
		}
		go pass("first", 0, 3*time.Second)
		go pass("second", 0, 5*time.Second)
		go pass("third", 2*time.Second, time.Second)
		time.Sleep(time.Second)
		g.close()
		say("shut")
		time.Sleep(5 * time.Second)
		g.open()
		time.Sleep(2 * time.Second)
		g.close() // nobody is inside
		say("shut")
		g.open()
		close(events)
		var got []string
		for e := range events {
			got = append(got, e)
		}
		slices.Sort(got[:2])
		if want := []string{"first in 0s", "second in 0s", "shut 5s", "third in 10s", "shut 12s"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
