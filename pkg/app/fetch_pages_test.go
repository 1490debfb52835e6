package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/telemetry"
)

func (w *fetchWorld) read(name string) string {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

func (w *fetchWorld) manifest() (m app.Manifest) {
	w.Helper()
	if err := json.Unmarshal([]byte(w.read("pages/manifest.json")), &m); err != nil {
		w.Fatal(err)
	}
	return m
}

// files are the names in the folder of pages, sorted; none has a mode that others can read.
func (w *fetchWorld) files() (names []string) {
	w.Helper()
	entries, err := os.ReadDir(filepath.Join(w.dir, "pages"))
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			w.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
		names = append(names, e.Name())
	}
	return names
}

// TestFetchSavesPages as they were received, with a manifest, and never among others.
func TestFetchSavesPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: generate(0.4, time.Now().Add(-time.Hour), time.Now())})
		w.order.SavePages, w.order.Streams, w.order.Output = filepath.Join(w.dir, "pages"), []string{"signins.interactive", "signins.managedidentity", "audits"}, "none"
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		want := []string{"SigninActivities1.json", "SigninActivities2.json", "audit1.json", "audit2.json", "manifest.json", "signins.managedidentity1.json", "signins.managedidentity2.json"}
		if got := w.files(); !slices.Equal(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
		if info, err := os.Stat(w.order.SavePages); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		pages := w.manifest().Pages
		if len(pages) != 6 || w.out.Len() > 0 {
			t.Fatalf("%+v, %d bytes printed", pages, w.out.Len())
		}
		for i, page := range pages {
			body := w.bodies.pages[i]
			sum := sha256.Sum256(body)
			if !bytes.Equal(body, []byte(w.read("pages/"+page.File))) || page.SHA256 != hex.EncodeToString(sum[:]) || page.Bytes != len(body) ||
				page.RequestID == "" || page.Rows == 0 || page.Time.IsZero() || !strings.HasPrefix(page.URI, "https://graph.microsoft.com/") {
				t.Errorf("%+v", page)
			}
			w.says("saved " + page.File + "\n")
		}

		w.order.Streams = []string{"audits"}
		if err := w.fetch(); !errors.Is(err, app.ErrUsage) || !strings.Contains(err.Error(), "--force") {
			t.Errorf("pages would be mixed: %v", err)
		}
		foreign := filepath.Join(w.dir, "pages", "notes.txt")
		if err := os.WriteFile(foreign, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w.order.Force = true
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		if got, want := w.files(), []string{"audit1.json", "audit2.json", "manifest.json", "notes.txt"}; !slices.Equal(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	})
}

// TestFetchForceKeepsOthers: a manifest that was tampered with removes nothing but pages of the folder.
func TestFetchForceKeepsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{})
		w.order.SavePages, w.order.Force = filepath.Join(w.dir, "pages"), true
		if err := os.Mkdir(w.order.SavePages, 0o700); err != nil {
			t.Fatal(err)
		}
		text := `{"pages":[{"file":"../secret"},{"file":"../audit1.json"},{"file":"notes.txt"},{"file":"audit9.json"}]}`
		for name, content := range map[string]string{"pages/manifest.json": text, "pages/notes.txt": "", "audit1.json": "", "pages/audit9.json": ""} {
			if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		if got, want := w.files(), []string{"SigninActivities1.json", "manifest.json", "notes.txt"}; !slices.Equal(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
		w.read("secret")
		w.read("audit1.json")
	})
}

// shortPipe is a reader that goes away after some bytes.
type shortPipe struct {
	room int
	err  error
}

func (p *shortPipe) Write(b []byte) (int, error) {
	if p.room -= len(b); p.room < 0 {
		return 0, p.err
	}
	return len(b), nil
}

// TestFetchIntoHead: a reader that has enough ends the reading without a word, and a full disk does not.
func TestFetchIntoHead(t *testing.T) {
	for _, c := range []struct {
		err    error
		quiet  bool
		output string
	}{
		{&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, true, "ndjson"},
		{io.ErrClosedPipe, true, "pretty"},
		{syscall.ENOSPC, false, "ndjson"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newFetchWorld(t, simulator.Options{Generate: generate(1, time.Now().Add(-time.Hour), time.Now())})
			w.order.Streams, w.order.SavePages, w.order.Output = []string{"audits"}, filepath.Join(w.dir, "pages"), c.output
			w.o.Stdout = &shortPipe{room: 1 << 20, err: c.err}
			if err := w.fetch(); (err == nil) != c.quiet || errors.Is(err, app.ErrUsage) {
				t.Errorf("%v: %v", c.err, err)
			}
			if n := len(w.manifest().Pages); n == 0 || n > 2 {
				t.Errorf("%v: %d pages were read", c.err, n)
			}
		})
	}
}

// TestFetchOnTerminal shows progress there and nowhere else.
func TestFetchOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 1)})
		w.order.Streams = []string{"audits"}
		for _, w.o.Terminal = range []bool{false, true} {
			if err := w.fetch(); err != nil {
				t.Fatal(err)
			}
			if shown := strings.Contains(w.errs.String(), "2000 records, audits is read back to 1999-12-31T23:"); shown != w.o.Terminal {
				t.Errorf("terminal %v:\n%q", w.o.Terminal, w.errs.String())
			}
		}
	})
}

// TestFetchBesideRun: a process and a fetch for the same tenant and app keep to its budget together, and the fetch gets its share.
func TestFetchBesideRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{Generate: generate(0.3, began.Add(-6*time.Hour), began.Add(time.Hour))}, "start: 6h", "out")
		w.start("out")
		w.until(time.Minute)
		var asked sync.Map
		var out, errs bytes.Buffer
		order := app.FetchOrder{Tenant: simulator.DefaultTenantID, ClientID: simulator.DefaultClientID, ClientSecretFile: w.path("secret"), // the process knows it by its domain
			Streams: []string{"audits", "signins.interactive"}, Since: "6h", Output: "ndjson", Patience: time.Minute, State: w.path("state")}
		ask := func(ctx context.Context, name string, order, result any) error {
			o := order.(app.TurnOrder)
			got, err := w.app.Turn(ctx, o)
			*result.(*app.TurnResult) = got
			asked.Store(fmt.Sprint(name, " ", o.Stream, " ", got.Known), true)
			return err
		}
		err := app.Fetch(t.Context(), order, app.FetchOptions{Version: "test", Stdout: &out, Stderr: &errs, Env: func(string) string { return "" }, Transport: w.wire, Ask: ask})
		if err != nil {
			t.Fatalf("%v\n%s", err, errs.String())
		}
		if n := bytes.Count(out.Bytes(), []byte("\n")); n < 12_000 {
			t.Errorf("%d records", n)
		}
		if _, ok := asked.Load("turn audits true"); !ok || strings.Count(errs.String(), "out of the running process's budget") != 1 {
			t.Errorf("asked %v\n%s", ok, errs.String())
		}
		if d := time.Since(began); d > 10*time.Minute {
			t.Errorf("it took %s", d)
		}
		w.checkBudget()
		w.stop()
	})
}

// TestFetchPausesBoth: what the service asks of the one holds for the other.
func TestFetchPausesBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFetchWorld(t, simulator.Options{Generate: hours(simulator.Audits, 0.1), Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.Throttle, Nth: []int{1}, RetryAfter: "40"}}}})
		w.order.State, w.order.Streams = w.dir, []string{"audits"}
		var pauses []time.Duration
		w.o.Ask = func(_ context.Context, _ string, order, _ any) error {
			if d := order.(app.TurnOrder).Pause; d > 0 {
				pauses = append(pauses, d)
			}
			return telemetry.ErrNotRunning
		}
		if err := w.fetch(); err != nil {
			t.Fatal(err)
		}
		if len(pauses) != 1 || pauses[0].Round(time.Second) != 40*time.Second {
			t.Errorf("told of %s", pauses)
		}
		w.says("no logferry runs on --state")
	})
}
