package e2e_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestSignals: Ctrl-C and SIGTERM end in good order, whatever a sink does; a second signal ends at once.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, first := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(first.String(), func(t *testing.T) {
			t.Parallel()
			g := newSettled(t)
			writeFile(t, g.file("token"), "token")
			dead := "name: dead\nsplunk: {endpoints: [http://" + freeAddress(t) + "], token_file: " + g.file("token") + "}"
			g.grace = "1s"
			hasty := g.config(t, "hasty.yaml", "", g.archive(), dead)
			g.grace = "10m"
			patient := g.config(t, "patient.yaml", "", g.archive(), dead)

			// A dead sink gets its grace and no more.
			p := g.running(t, hasty)
			asked := time.Now()
			p.signal(t, first)
			if code := p.wait(t); code != 0 {
				t.Errorf("exit code %d\n%s", code, tail(p.stderr.String(), 3000))
			}
			if took := time.Since(asked); took > patience/2 {
				t.Errorf("the end took %s with a grace of a second", took)
			}

			// With ten minutes of grace only a second signal ends it now.
			p = begin(t, "run", "-c", patient)
			p.says(t, "sending failed")
			p.signal(t, first)
			p.says(t, "stopping: a second signal ends at once")
			select {
			case <-p.done:
				t.Fatalf("it has not waited for the sink\n%s", tail(p.stderr.String(), 3000))
			case <-time.After(500 * time.Millisecond):
			}
			asked = time.Now()
			p.signal(t, first)
			if code := p.wait(t); code != -1 || p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != first {
				t.Errorf("exit code %d (%s), want the end by the second signal", code, p.cmd.ProcessState)
			}
			if took := time.Since(asked); took > patience/2 {
				t.Errorf("the end took %s after the second signal", took)
			}

			// Nothing is lost by either: the dead sink's records wait, the others got theirs once.
			s, _ := runOnce(t, hasty, 3, "--patience", "1s")
			want := g.shown(t)
			if s.Sinks["dead"].Pending != uint64(len(want)) {
				t.Errorf("%d pending of %d", s.Sinks["dead"].Pending, len(want))
			}
			compare(t, "file", want, g.archived(t))
		})
	}
}

// TestOnceInterrupted: run --once that is told to stop says that it is not done.
func TestOnceInterrupted(t *testing.T) {
	t.Parallel()
	g := newGraph(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.ServerError, Stream: simulator.Audits}}}})
	config := g.config(t, "c.yaml", "", g.archive())
	p := begin(t, "run", "--once", "-c", config)
	p.says(t, "reading a slice failed")
	p.signal(t, syscall.SIGINT)
	if code := p.wait(t); code != 3 || !strings.Contains(p.stdout.String(), `"complete":false`) {
		t.Errorf("exit code %d, summary %s", code, p.stdout.String())
	}
}
