package app

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/secure"
	"github.com/logferry/logferry/pkg/telemetry"
)

// SupportFile is a file of a support archive.
type SupportFile struct {
	Name string
	What string // for people
	data []byte
}

// Size is that of its content, in bytes.
func (f SupportFile) Size() int { return len(f.data) }

// SupportOrder is what an archive is made of.
type SupportOrder struct {
	Paths   []string       // of the configuration
	Config  *config.Config // nil: it is not valid
	Check   string         // what check says of it
	Version string
	Now     time.Time
}

// Support is an archive with all that somebody needs who is to help, and no more: no record, no dead letter, no content of a secret's
// file.
type Support struct {
	Files   []SupportFile
	Missing []string // what could not be had, and why
	now     time.Time
	hidden  []config.Hidden
}

const (
	mostMetrics  = 32 << 20 // bytes
	metricsAfter = 20 * time.Second
)

// lastLines is what the log has said last, without what looks like a secret.
func (a *App) lastLines() []string {
	lines := []string{}
	if a.o.Recent == nil {
		return lines
	}
	for _, line := range a.o.Recent.Lines() {
		lines = append(lines, secure.ScrubJSON(line))
	}
	return lines
}

// Collect gathers what there is. What cannot be had is named in the archive; the error is for a configuration that cannot be read.
func Collect(ctx context.Context, o SupportOrder) (*Support, error) {
	s := &Support{now: o.Now.UTC()}
	files, hidden, err := config.Redact(o.Paths, secure.Scrub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	s.hidden = forms(hidden)
	for i, f := range files {
		s.add(fmt.Sprintf("config/%02d-%s", i+1, filepath.Base(f.Path)), "the configuration "+f.Path+", redacted, without comments", f.Text)
	}
	s.add("check.txt", "what logferry check says of it", secure.Scrub(o.Check))
	if o.Config == nil {
		s.lacks("status, state, metrics and log", errors.New("the configuration is not valid, so nobody knows where to ask"))
	} else {
		s.ask(ctx, o.Config)
	}
	s.about(o.Version)
	return s, nil
}

// ask gathers from the process that runs, or from the state file.
func (s *Support) ask(ctx context.Context, cfg *config.Config) {
	var status pipeline.Status
	err := telemetry.Ask(ctx, cfg.State.Dir, "status", &status)
	running := err == nil
	switch {
	case errors.Is(err, telemetry.ErrNotRunning):
		status, err = Offline(cfg)
		s.lacks("metrics.txt and log.txt", errors.New("no logferry is running on this state folder: look where its standard error went"))
	case err != nil:
		s.lacks("log.txt and metrics.txt", err)
	}
	if err != nil {
		s.lacks("status.json and gaps.json", err)
	} else {
		from := map[bool]string{true: "of the running process", false: "of the state file, as nobody runs"}[running]
		s.json("status.json", "logferry status --json, "+from, status)
		s.json("gaps.json", "stretches that are a gap or a hole, were left out or skipped", gapsOf(status))
	}
	if report, _, err := StateInfo(ctx, cfg); err != nil {
		s.lacks("state.json", err)
	} else {
		s.json("state.json", "logferry state info --json: sizes, lanes, the ledger", report)
	}
	if !running {
		return
	}
	var lines []string
	if err := telemetry.Ask(ctx, cfg.State.Dir, "log", &lines); err != nil {
		s.lacks("log.txt", err)
	} else {
		s.add("log.txt", fmt.Sprintf("the last %d lines of the log", len(lines)), secure.ScrubJSON(strings.Join(lines, "\n")+"\n"))
	}
	if text, err := metrics(ctx, cfg.Admin.Listen); err != nil {
		s.lacks("metrics.txt", err)
	} else {
		s.add("metrics.txt", "/metrics of the running process", secure.ScrubJSON(text))
	}
}

// supportGap is one stretch of a stream.
type supportGap struct {
	Stream string `json:"stream"`
	event.Mark
}

func gapsOf(st pipeline.Status) []supportGap {
	all := []supportGap{}
	for _, s := range st.Streams {
		for _, m := range s.Marks {
			all = append(all, supportGap{s.Name, m})
		}
	}
	return all
}

// metrics asks the admin endpoint on this machine.
func metrics(ctx context.Context, listen string) (string, error) {
	if listen == "" || listen == "off" {
		return "", errors.New("admin.listen is off")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, metricsAfter)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/metrics", nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostMetrics))
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	return string(text), err
}

// about says what the archive is of.
func (s *Support) about(version string) {
	var b strings.Builder
	fmt.Fprintf(&b, "logferry %s, %s, %s/%s, %d processors\nmade at %s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), s.now.Format(time.RFC3339))
	for _, m := range s.Missing {
		fmt.Fprintf(&b, "missing: %s\n", m)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		fmt.Fprintf(&b, "\n%s", info)
	}
	s.add("about.txt", "versions, and what is missing", b.String())
	last := len(s.Files) - 1
	s.Files = append([]SupportFile{s.Files[last]}, s.Files[:last]...)
}

func (s *Support) lacks(what string, err error) {
	s.Missing = append(s.Missing, what+": "+s.without(secure.Scrub(err.Error())))
}

func (s *Support) json(name, what string, v any) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		s.lacks(name, err)
		return
	}
	s.add(name, what, secure.ScrubJSON(out.String()))
}

func (s *Support) add(name, what, text string) {
	s.Files = append(s.Files, SupportFile{Name: name, What: what, data: []byte(s.without(text))})
}

// without takes out what was taken out of the configuration: an error or a line of the log may quote it.
func (s *Support) without(text string) string {
	for _, h := range s.hidden {
		text = strings.ReplaceAll(text, h.Text, h.Instead)
	}
	return text
}

// forms adds what texts look like when an error quotes them, and JSON that error. The longest come first: one may be a part of another.
func forms(hidden []config.Hidden) (all []config.Hidden) {
	known := map[string]bool{}
	for _, h := range hidden {
		quoted := inGo(h.Text)
		for _, form := range []string{h.Text, quoted, inJSON(h.Text), inGo(quoted), inJSON(quoted)} {
			if !known[form] {
				known[form] = true
				all = append(all, config.Hidden{Text: form, Instead: h.Instead})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b config.Hidden) int { return cmp.Compare(len(b.Text), len(a.Text)) })
	return all
}

// inGo is a text as %q writes it, without the quotes around it.
func inGo(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// inJSON is a text as encoding/json writes it by itself, without the quotes around it.
func inJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text // never of a string
	}
	return string(quoted[1 : len(quoted)-1])
}

// Name is what the archive is called without a folder or an ending, and the folder in it.
func (s *Support) Name() string { return "logferry-support-" + s.now.Format("20060102T150405Z") }

// Write writes the archive, a compressed tar.
func (s *Support) Write(w io.Writer) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, f := range s.Files {
		h := &tar.Header{Name: s.Name() + "/" + f.Name, Mode: 0o600, Size: int64(len(f.data)), ModTime: s.now, Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
		if _, err := t.Write(f.data); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	return errors.Join(t.Close(), z.Close())
}
