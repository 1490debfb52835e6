package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/telemetry"
)

// outletOf makes the outlet of a sink that is configured so.
func outletOf(t *testing.T, settings string) (keep func(*event.Record) bool, trim func([]byte, *event.Record) ([]byte, error), err error) {
	t.Helper()
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("x.yaml", []byte(`
sources:
  - name: contoso
    entra:
      tenant: contoso.onmicrosoft.com
      auth: {client_id: 11111111-2222-3333-4444-555555555555, client_secret_file: /run/secrets/graph}
sinks:
  - name: console
    stdout: {}
`+settings), n)
	if err != nil {
		t.Fatal(err)
	}
	a := &App{o: Options{Stdout: new(bytes.Buffer)}, log: zap.NewNop(), metrics: telemetry.NewMetrics("test")}
	outlet, err := a.outlet(cfg.Sinks[0], n)
	if err == nil {
		_ = outlet.Sink.Close()
	}
	return outlet.Keep, outlet.Trim, err
}

// TestOutletChoosesAndTrims: what the configuration says of a sink is what its lane is told to do; where it says nothing the lane
// has nothing to ask.
func TestOutletChoosesAndTrims(t *testing.T) {
	keep, trim, err := outletOf(t, "")
	if keep != nil || trim != nil || err != nil {
		t.Fatalf("without settings: keep %v, trim %v, %v", keep != nil, trim != nil, err)
	}
	key := filepath.Join(t.TempDir(), "key")
	settings := `    where: {streams: signins.*, outcome: failure}
    drop_fields: [ipAddress]
    hash_fields: [userPrincipalName]
    hash_key_file: ` + key + "\n"
	if _, _, err := outletOf(t, settings); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("without its key file: %v", err)
	}
	if err := os.WriteFile(key, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	if keep, trim, err = outletOf(t, settings); err != nil || keep == nil || trim == nil {
		t.Fatal(err)
	}
	rec := event.Record{Key: event.StreamKey{Stream: "signins.interactive"}, Raw: []byte(`{"id":"1","userPrincipalName":"anna@contoso.com","ipAddress":"192.0.2.1","status":{"errorCode":50126}}`)}
	const want = `{"id":"1","userPrincipalName":"hmac:0578d9e06d283511b11bf381532bdf36","status":{"errorCode":50126}}`
	// Pinned: receivers correlate by it, so it must never change.
	if got, err := trim(nil, &rec); err != nil || string(got) != want || !keep(&rec) {
		t.Errorf("kept %v, %s, %v, want %s", keep(&rec), got, err, want)
	}
	rec.Raw = []byte(`{"id":"1","status":{"errorCode":0}}`)
	if keep(&rec) {
		t.Error("a success is kept")
	}
	if rec.Key.Stream = "audits"; !keep(&rec) {
		t.Error("an audit is filtered by a rule about sign-ins")
	}
}
