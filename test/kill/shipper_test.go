package kill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/pipeline"
)

// What may be on its way when the shipper dies is bounded by these.
const (
	batchEvents  = 100       // of each sink
	replayOctets = 256 << 10 // of the syslog sink: sent again after each reconnect
)

const configuration = `
state: {dir: %[1]q}
sources:
  - name: contoso
    entra:
      tenant: %[2]s
      login_url: %[3]s
      graph_url: %[3]s
      auth: {client_id: %[4]s, client_secret_file: %[5]q}
      top: 500
      start: %[6]s
      poll: 1s
      lookback: 1m
      reread: [1m, 2m]
      budget: {requests: 1000, per: 10s}
  - name: fabrikam
    entra:
      tenant: %[7]s
      login_url: %[8]s
      graph_url: %[8]s
      auth: {client_id: %[4]s, client_secret_file: %[5]q}
      streams: [signins.noninteractive, audits]
      top: 100
      start: %[9]s
      poll: 5s
      lookback: 1m
      reread: []
      budget: {requests: 150, per: 10s}
sinks:
  - name: hec
    schema: ecs
    splunk: {endpoints: [%[10]s], token_file: %[5]q, batch: {events: %[11]d, linger: 200ms}}
  - name: syslog
    schema: raw
    syslog: {address: %[12]q, max_message_bytes: 64000, batch: {events: %[11]d, linger: 200ms}, replay: {bytes: %[13]d}}
  - name: file
    file: {path: %[14]q, batch: {events: %[11]d, linger: 200ms}}
admin: {listen: "off"}
`

// shipper is the built program with its folder.
type shipper struct {
	dir, binary, config, log string
}

// newShipper builds the program with the points at which the environment can kill it.
func newShipper(t *testing.T, dir string) *shipper {
	t.Helper()
	s := &shipper{
		dir: dir, binary: filepath.Join(dir, "logferry"), config: filepath.Join(dir, "logferry.yaml"), log: filepath.Join(dir, "log.ndjson"),
	}
	out, err := exec.Command("go", "build", "-trimpath", "-tags", "crashpoints", "-o", s.binary, "github.com/logferry/logferry/cmd/logferry").CombinedOutput()
	if err != nil {
		t.Fatalf("build logferry: %v\n%s", err, out)
	}
	return s
}

func (s *shipper) state() string  { return filepath.Join(s.dir, "state") }
func (s *shipper) output() string { return filepath.Join(s.dir, "out.ndjson") }

func (s *shipper) configure(t *testing.T, contoso, fabrikam *graph, h *hec, r *syslogReceiver) {
	t.Helper()
	secret := filepath.Join(s.dir, "secret")
	text := fmt.Sprintf(configuration, s.state(), contoso.tenant, contoso.url, simulator.DefaultClientID, secret, contosoHistory+time.Minute,
		fabrikam.tenant, fabrikam.url, fabrikamHistory+time.Minute, h.url, batchEvents, r.address, replayOctets, s.output())
	for path, content := range map[string]string{secret: simulator.DefaultClientSecret, s.config: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// command prepares a run; its log goes behind that of the others.
func (s *shipper) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // nothing must be left behind when go test's own limit ends the test
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.binary, append(args, "-c", s.config)...)
	cmd.Stderr = log
	return cmd
}

// live runs the program until it is killed: by itself at a point ("" for none) or from outside after a time. It tells which.
func (s *shipper) live(t *testing.T, point string, after time.Duration) (atPoint bool) {
	t.Helper()
	cmd := s.command(t, "run")
	cmd.Env = append(os.Environ(), "LOGFERRY_CRASH="+point)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
		atPoint = true
	case <-time.After(after):
		cmd.Process.Kill() // fails only if it has ended by itself: then Wait says how
		err = <-ended
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL || atPoint && point == "" {
		t.Fatalf("logferry has ended by itself: %v\n%s", err, s.tail())
	}
	return atPoint
}

// home reads and delivers all that is left.
func (s *shipper) home(t *testing.T) pipeline.Summary {
	t.Helper()
	cmd := s.command(t, "run", "--once", "--patience", "2m")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run --once: %v\n%s\n%s", err, out, s.tail())
	}
	var summary pipeline.Summary
	if err := json.Unmarshal(out, &summary); err != nil {
		t.Fatalf("run --once: %v\n%s", err, out)
	}
	return summary
}

// status is what the state file says.
func (s *shipper) status(t *testing.T) pipeline.Status {
	t.Helper()
	out, err := s.command(t, "status", "--json").Output()
	if err != nil {
		t.Fatalf("status: %v\n%s", err, s.tail())
	}
	var st pipeline.Status
	if err := json.Unmarshal(out, &st); err != nil {
		t.Fatalf("status: %v\n%s", err, out)
	}
	return st
}

func (s *shipper) tail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], nil))
}
