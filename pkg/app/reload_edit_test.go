package app_test

import (
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
)

const one, two = "one, schema: raw, stdout: {}", "two, schema: raw, stdout: {}"

// quietly is a world of two sinks with records all the time.
func quietly(t *testing.T, every time.Duration) *edited {
	began := time.Now()
	return edit(t, simulator.Options{Generate: generate(0.1, began.Add(-10*time.Minute), began.Add(45*time.Minute))}, every, []string{"one", "two", "three"}, []string{one, two})
}

// ends runs on until all is delivered, and checks that these have all of it once.
func (e *edited) ends(sinks ...string) {
	e.Helper()
	e.until(time.Hour)
	e.stop()
	for _, name := range sinks {
		e.complete(name)
	}
}

// TestReloadWatchesTheFile: what is half written is not taken, what is refused is said once and tried again, the last content wins.
func TestReloadWatchesTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 5*time.Second)
		e.begin()
		e.rest(time.Minute)
		loaded := e.app.Status().Loaded

		// A file that is there for one look only. As a whole it would be taken: it is good, but lacks a sink.
		f := e.file
		f.lanes = []string{one}
		e.write("c.yaml", e.text(f))
		e.rest(6 * time.Second)
		f.lanes = []string{one, two, "three, schema: raw, stdout: {}"}
		e.write("c.yaml", e.text(f))
		e.rest(11 * time.Second)
		if st := e.app.Status(); len(st.Sinks) != 3 || !st.Loaded.After(loaded) || e.fault("configuration") != "" {
			t.Errorf("%d sinks, loaded %s, %q", len(st.Sinks), st.Loaded, e.fault("configuration"))
		}
		if lines := e.said.with("is reloaded"); len(lines) != 1 || !strings.Contains(lines[0], `["sink three added"]`) {
			t.Errorf("the log tells of %q", lines)
		}
		e.file = f

		// A fault is said once, whatever the number of looks, and is over when the file says again what runs.
		e.write("c.yaml", e.text(e.file)+"colour: red\n")
		e.rest(5 * time.Minute)
		if n := len(e.said.with("is refused", "colour")); n != 1 {
			t.Errorf("the refusal is said %d times", n)
		}
		e.write("c.yaml", e.text(e.file))
		e.rest(12 * time.Second)
		if why := e.fault("configuration"); why != "" || len(e.said.with("are again those that run")) != 1 {
			t.Errorf("after it was put back: %q", why)
		}

		// What may mend itself is tried again: the secret comes later than the file that names it.
		f.secret = "later"
		e.write("c.yaml", e.text(f))
		e.rest(3 * time.Minute)
		if why := e.fault("configuration"); !strings.Contains(why, "client_secret_file") || len(e.said.with("is refused", "client_secret_file")) != 1 {
			t.Errorf("without its secret: %q, said %d times", why, len(e.said.with("is refused", "client_secret_file")))
		}
		e.write("later", simulator.DefaultClientSecret)
		e.rest(70 * time.Second)
		if why := e.fault("configuration"); why != "" || len(e.said.with("is reloaded", "source contoso changed")) != 1 {
			t.Errorf("with its secret: %q", why)
		}
		e.file = f

		// No file at all is a fault too, and a folder's listing counts.
		if err := os.Remove(e.path("c.yaml")); err != nil {
			t.Fatal(err)
		}
		e.rest(12 * time.Second)
		if why := e.fault("configuration"); !strings.Contains(why, "no such file") {
			t.Errorf("without a file: %q", why)
		}

		// Two orders, one after the other: the last content wins.
		f.poll = "20s"
		e.write("c.yaml", e.text(f))
		e.hup <- syscall.SIGHUP
		f.poll = "90s"
		e.write("c.yaml", e.text(f))
		e.order()
		e.write("c.yaml", e.text(f))
		e.order()
		if n := len(e.said.with("says what it said before")); n == 0 || e.fault("configuration") != "" {
			t.Errorf("an order over nothing new is answered %d times, %q", n, e.fault("configuration"))
		}
		e.ends("one", "two")
	})
}

// TestReloadOnOrderAlone: without looks only an order counts.
func TestReloadOnOrderAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.begin()
		f := e.file
		f.lanes = []string{one, two, "three, schema: raw, stdout: {}"}
		e.write("c.yaml", e.text(f))
		e.rest(10 * time.Minute)
		if n := len(e.app.Status().Sinks); n != 2 {
			t.Errorf("%d sinks before the order", n)
		}
		e.order()
		if n := len(e.app.Status().Sinks); n != 3 {
			t.Errorf("%d sinks after it", n)
		}
		e.ends("one", "two")
	})
}

// TestReloadRefuses: each with its reason, and what ran goes on.
func TestReloadRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.sinks["two"].set(fault.Block(errors.New("the token is unknown")))
		e.begin()
		e.rest(2 * time.Minute)
		made := e.sunk
		for _, c := range []struct {
			edit func(f *file)
			want []string
		}{
			{func(f *file) { f.lanes = []string{one} }, []string{"sink two is gone", "pending records", "was: two", "start logferry again with --forget-sink two", "logferry dlq"}},
			{func(f *file) { f.secret = "nowhere" }, []string{"source contoso", "client_secret_file", "no such file"}},
			{func(f *file) {
				f.lanes = append(f.lanes, "x, splunk: {endpoints: [\"https://splunk.example.com:8088\"], token_file: /nowhere/token}")
			}, []string{"sink x", "token_file", "/nowhere/token"}},
			{func(f *file) { f.more = "colour: red\n" }, []string{"c.yaml:", "colour", "unknown key"}},
			{func(f *file) { f.lanes = append(f.lanes, one) }, []string{"used twice"}},
			{func(f *file) { f.poll = "often" }, []string{"poll"}},
		} {
			f := e.file
			f.lanes = slices.Clone(f.lanes)
			c.edit(&f)
			why := e.refusal(f)
			for _, want := range append(c.want, "is refused", "goes on") {
				if !strings.Contains(why, want) {
					t.Errorf("%q does not say %q", why, want)
				}
			}
		}
		e.write("c.yaml", strings.Replace(e.text(e.file), e.path(e.state), e.path("elsewhere"), 1))
		e.order()
		if why := e.fault("configuration"); !strings.Contains(why, "state.dir cannot change") {
			t.Errorf("another state.dir: %q", why)
		}
		if e.sunk != made {
			t.Errorf("%d sinks were made for nothing", e.sunk-made)
		}
		if n := len(e.app.Status().Sinks); n != 2 {
			t.Errorf("%d sinks", n)
		}
		e.sinks["two"].set(nil)
		e.ends("one", "two")
	})
}

// TestReloadLeavesTheRestAlone: what did not change is not made again, and what it is doing goes on.
func TestReloadLeavesTheRestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.begin()
		e.rest(2 * time.Minute)
		made := e.sunk
		f := e.file
		f.journal = "20MiB"
		least := math.MaxInt
		for _, level := range []string{"warn", "info", "debug"} { // a poll may come in the same second, but not in each
			before, _ := e.wire.requests()
			f.level = level
			e.took(f)
			n, _ := e.wire.requests()
			least = min(least, n-before)
		}
		if least != 0 || e.sunk != made {
			t.Errorf("for another level %d requests were sent, %d sinks made", least, e.sunk-made)
		}
		e.rest(2 * time.Minute)
		if len(e.said.with(`"debug"`)) == 0 {
			t.Error("the log has no line of level debug")
		}
		if room := e.app.Status().Room; room < 19<<20 {
			t.Errorf("the journal has room for %d bytes, want 20 MiB", room)
		}
		f.lanes = []string{one, strings.Replace(two, "raw", "ecs", 1)}
		e.took(f)
		if e.sunk != made+1 {
			t.Errorf("for one other sink %d were made", e.sunk-made)
		}
		e.ends("one", "two")
	})
}

// TestReloadSettlesWhatIsSent: a sink that is replaced in the middle of a Send is waited for, and one that is to go gets the rest.
func TestReloadSettlesWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.sinks["two"].late, e.sinks["two"].most = 8*time.Second, 5
		e.begin()
		e.rest(2 * time.Minute)
		f := e.file
		busy := func() {
			for e.app.Status().Sinks[1].InFlight == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		for _, schema := range []string{"ecs", "cef", "raw", "ocsf"} {
			busy()
			f.lanes = []string{one, strings.Replace(two, "raw", schema, 1)}
			e.put(f)
			e.rest(10 * time.Second)
			if why := e.fault("configuration"); why != "" {
				t.Errorf("refused: %s", why)
			}
		}
		e.sinks["two"].delay(500 * time.Millisecond)
		e.rest(30 * time.Minute)
		e.file = f
		f.lanes = []string{one}
		for e.app.Status().Sinks[1].Pending <= 5 { // more than one Send takes
			time.Sleep(10 * time.Millisecond)
		}
		e.put(f)
		e.rest(6 * time.Second)
		if why := e.fault("configuration"); why != "" || len(e.app.Status().Sinks) != 1 {
			t.Errorf("a sink that keeps up may go: %q", why)
		}
		if n := e.sinks["two"].repeats(); n > 0 {
			t.Errorf("two got %d events again", n)
		}
		e.ends("one")
	})
}

// TestReloadRemembersWhatIsDelivered: what a sink has taken behind a Send that fails is not sent to its successor again.
func TestReloadRemembersWhatIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		first, broken := "", atomic.Bool{}
		broken.Store(true)
		r := e.sinks["two"]
		r.many, r.most = 4, 5
		r.says = func(events []event.Event) error {
			if first == "" {
				first = strings.Clone(events[0].ID)
			}
			if broken.Load() && slices.ContainsFunc(events, func(x event.Event) bool { return x.ID == first }) {
				return errors.New("connection reset before anything was taken")
			}
			return nil
		}
		e.begin()
		e.rest(2 * time.Minute)
		f := e.file
		for _, schema := range []string{"ecs", "cef"} {
			had := len(r.arrived())
			f.lanes = []string{one, strings.Replace(two, "raw", schema, 1)}
			e.took(f)
			if e.rest(time.Minute); len(r.arrived()) <= had {
				t.Error("nothing was taken behind what fails")
			}
		}
		broken.Store(false)
		e.ends("one", "two")
	})
}

// TestReloadEndsWhatHangs: a Send without an answer holds a reload up for the grace, and no longer. Then it is sent again.
func TestReloadEndsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		hang := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		e.sinks["two"].wait = hang
		e.begin()
		e.rest(2 * time.Minute)
		f := e.file
		e.sinks["three"].late = time.Second
		f.lanes = []string{one, "three, was: two, schema: raw, stdout: {}"}
		e.put(f)
		if n := len(e.said.with("is reloaded")); n != 0 {
			t.Error("nobody has waited for the answer")
		}
		if e.rest(20 * time.Second); len(e.said.with("is reloaded")) != 1 {
			t.Errorf("it still waits: %q", e.fault("configuration"))
		}
		e.ends("one", "three")
	})
}

// TestReloadForgets: --forget-sink at the start lets a sink go while records wait for it.
func TestReloadForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.forget = []string{"two"}
		e.sinks["two"].set(fault.Block(errors.New("the token is unknown")))
		e.begin()
		e.rest(2 * time.Minute)
		f := e.file
		f.lanes = []string{one}
		e.took(f)
		if n := len(e.app.Status().Sinks); n != 1 {
			t.Errorf("%d sinks", n)
		}
		e.ends("one")
	})
}

// TestReloadMeetsOrders: a verification goes on with what it began with, resending to a sink that goes ends with a word.
func TestReloadMeetsOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.begin()
		e.until(30 * time.Minute)
		verified, resent := make(chan error, 1), make(chan pipeline.ResendResult, 1)
		from := pipeline.Stretch{From: "25m"}
		go func() {
			r, err := e.app.Verify(t.Context(), pipeline.VerifyOrder{Stretch: from}, func(pipeline.Progress) {})
			if err == nil && !r.Complete {
				err = errors.New("it is not complete")
			}
			verified <- err
		}()
		go func() {
			r, err := e.app.Resend(t.Context(), pipeline.ResendOrder{Stretch: from, Sink: "two"}, func(pipeline.Progress) {})
			if err != nil {
				t.Error(err)
			}
			resent <- r
		}()
		e.rest(5 * time.Second)
		f := e.file
		f.poll, f.lanes = "30s", []string{one}
		e.put(f)
		e.rest(10 * time.Second)
		if why := e.fault("configuration"); why != "" {
			t.Errorf("refused: %s", why)
		}
		if err := <-verified; err != nil {
			t.Errorf("verify: %v", err)
		}
		if r := <-resent; r.Complete || !slices.ContainsFunc(r.Streams, func(s pipeline.ResentStream) bool { return strings.Contains(s.Err, "sink two is gone") }) {
			t.Errorf("resend: %+v", r)
		}
		e.ends("one")
	})
}

// TestReloadGivesANameAgain: a sink that was renamed gets nothing of what is resent to another that has its former name now.
func TestReloadGivesANameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.begin()
		e.until(30 * time.Minute)
		f := e.file
		e.sinks["three"] = e.sinks["two"]
		f.lanes = []string{one, "three, was: two, schema: raw, stdout: {}"}
		e.took(f)
		again := &receiver{}
		e.sinks["two"] = again
		f.lanes = append(f.lanes, two)
		e.took(f)
		r, err := e.app.Resend(t.Context(), pipeline.ResendOrder{Stretch: pipeline.Stretch{From: "20m"}, Sink: "two"}, func(pipeline.Progress) {})
		if err != nil || !r.Complete {
			t.Errorf("resend: %+v, %v", r, err)
		}
		e.ends("one", "three")
		if len(again.arrived()) == 0 {
			t.Error("nothing was resent")
		}
	})
}

// TestReloadInheritsFromItself: a sink that has its own place goes on from that, and not from one that goes and whose name it once had.
func TestReloadInheritsFromItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 0)
		e.forget = []string{"two"}
		first, r := "", e.sinks["two"]
		r.many, r.most = 4, 5
		r.says = func(events []event.Event) error {
			if first == "" {
				first = strings.Clone(events[0].ID)
			}
			if slices.ContainsFunc(events, func(x event.Event) bool { return x.ID == first }) {
				return errors.New("connection reset before anything was taken")
			}
			return nil
		}
		e.file.lanes = []string{one, "three, schema: raw, stdout: {}", two}
		e.write("c.yaml", e.text(e.file))
		e.sinks["three"].set(fault.Block(errors.New("the token is unknown")))
		e.begin()
		e.rest(3 * time.Minute)
		if len(r.arrived()) == 0 {
			t.Error("nothing was taken behind what fails")
		}
		f := e.file
		f.lanes = []string{one, "three, was: two, schema: ecs, stdout: {}"}
		e.took(f)
		e.sinks["three"].set(nil)
		e.ends("one", "three")
	})
}

// TestReloadSaysOnceWhoIsInTheWay: a sink that has ever more pending is refused to go once, not with each record.
func TestReloadSaysOnceWhoIsInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := quietly(t, 5*time.Second)
		e.sinks["two"].set(fault.Block(errors.New("the token is unknown")))
		e.begin()
		e.rest(2 * time.Minute)
		f := e.file
		f.lanes = []string{one}
		e.write("c.yaml", e.text(f))
		e.rest(10 * time.Minute)
		if n := len(e.said.with("is refused")); n != 1 {
			t.Errorf("the refusal is said %d times", n)
		}
		e.write("c.yaml", e.text(e.file))
		e.sinks["two"].set(nil)
		e.ends("one", "two")
	})
}
