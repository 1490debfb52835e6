package e2e_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mount is a folder as Kubernetes mounts a ConfigMap: the file is a link through the link ..data, which is replaced by rename.
type mount struct {
	dir  string
	n    int
	file string
}

func newMount(t *testing.T, dir, text string) *mount {
	t.Helper()
	m := &mount{dir: dir, file: filepath.Join(dir, "logferry.yaml")}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	m.swap(t, text)
	if err := os.Symlink(filepath.Join("..data", "logferry.yaml"), m.file); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *mount) swap(t *testing.T, text string) {
	t.Helper()
	m.n++
	version := fmt.Sprintf("..2026_%d", m.n)
	if err := os.Mkdir(filepath.Join(m.dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(m.dir, version, "logferry.yaml"), text)
	next := filepath.Join(m.dir, "..data_tmp")
	if err := os.Symlink(version, next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(m.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// TestReload: the running program takes what its files say, on SIGHUP and by itself, refuses what has faults, and loses nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	g := newSettled(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	admin := freeAddress(t)
	copied := "name: copy\nschema: raw\nfile: {path: \"" + g.file("copy-{stream}.ndjson") + "\"}"
	text := func(more string, sinks ...string) string {
		t.Helper()
		data, err := os.ReadFile(g.write(t, "text.yaml", g.source("poll: 2s"), more, sinks...))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	listen := func(at string) string { return "admin: {listen: \"" + at + "\"}\n" }
	m := newMount(t, g.file("mounted"), text(listen(admin), g.archive()))
	p := begin(t, "run", "-c", m.dir, "--watch", "300ms")
	url := p.adminURL(t)
	const successful = "logferry_config_last_reload_successful"
	if v := metric(t, url, successful); v != 1 {
		t.Errorf("%s is %g at the start", successful, v)
	}

	const sends = `logferry_sink_sends_total{result="accepted",sink="archive"}`
	sent := 0.0
	eventually(t, func() error {
		if sent = metric(t, url, sends); sent == 0 {
			return errors.New("nothing was sent yet")
		}
		return nil
	})

	// By itself, through the swapped link; the same port on all addresses cannot be open beside the old one.
	_, port, _ := net.SplitHostPort(admin)
	second := text(listen("0.0.0.0:"+port), g.archive(), copied)
	m.swap(t, second)
	p.says(t, `"changed":["admin.listen","sink copy added"]`)

	if v := metric(t, url, sends); v < sent {
		t.Errorf("%g Sends are counted after a reload, %g before", v, sent)
	}

	// With faults it is refused, and says so everywhere.
	for _, bad := range []struct{ text, why string }{
		{second + "colour: red\n", "unknown key"},
		{text(listen(taken.Addr().String()), g.archive(), copied), "address already in use"},
	} {
		m.swap(t, bad.text)
		p.says(t, bad.why)
		eventually(t, func() error {
			if status, body := get(t, url+"/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(body, bad.why) {
				return fmt.Errorf("/healthz: %d %s", status, body)
			}
			return nil
		})
		if v := metric(t, url, successful); v != 0 {
			t.Errorf("%s is %g after a refusal", successful, v)
		}
		logferry(t, "status", "-c", m.dir).wants(t, 0, "running since", "configuration", "is refused", bad.why)
	}
	m.swap(t, second)
	p.says(t, "are again those that run")

	// On SIGHUP at once.
	m.swap(t, text(listen("0.0.0.0:"+port)+"log: {level: debug}\n", g.archive(), copied))
	p.signal(t, syscall.SIGHUP)
	p.says(t, `"changed":["log.level"]`)
	if status, body := get(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d %s", status, body)
	}

	g.later(10 * time.Minute)
	all := 0
	for range g.Expected(g.base.Add(10 * time.Minute)) {
		all++
	}
	eventually(t, func() error {
		if n := len(g.archived(t)); n < all {
			return fmt.Errorf("%d of %d records have arrived", n, all)
		}
		return nil
	})
	p.signal(t, syscall.SIGTERM)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(p.stderr.String(), 3000))
	}
	if n, want := len(g.archived(t)), len(g.shown(t)); n != want {
		t.Errorf("%d events have arrived of %d", n, want)
	}
}

// TestHangupWithOnce: run --once takes no other configuration and does not end by SIGHUP.
func TestHangupWithOnce(t *testing.T) {
	t.Parallel()
	g := newSettled(t)
	writeFile(t, g.file("token"), "token")
	dead := "name: dead\nsplunk: {endpoints: [http://" + freeAddress(t) + "], token_file: " + g.file("token") + "}"
	p := begin(t, "run", "--once", "--patience", "2s", "-c", g.config(t, "c.yaml", "", g.archive(), dead))
	p.says(t, "logferry starts")
	p.signal(t, syscall.SIGHUP)
	if code := p.wait(t); code != 3 {
		t.Errorf("exit code %d, want 3\n%s", code, tail(p.stderr.String(), 3000))
	}
}
