package app_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/telemetry"
)

// standBy lets a process idle on a folder until it has logged last, and gives all that it has logged.
func standBy(t *testing.T, dir, last string) (logged []string) {
	t.Helper()
	core, seen := observer.New(zap.InfoLevel)
	said := make(chan string, 100)
	log := zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		said <- e.Message
		return nil
	}))
	cfg := &config.Config{State: config.State{Dir: dir}, Admin: config.Admin{Listen: "127.0.0.1:0"}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- app.StandBy(ctx, cfg, app.Options{Log: log}, "another pod works") }()
	for ended := false; !ended; {
		select {
		case message := <-said:
			ended = strings.Contains(message, last)
		case err := <-done:
			t.Fatalf("it has ended by itself: %v", err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, e := range seen.All() {
		logged = append(logged, e.Message)
	}
	return logged
}

// TestStandByLeavesOthersAlone: a folder that a working process has, because somebody gave two pods one volume, stays that one's.
func TestStandByLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	works := map[string]func() (any, error){"status": func() (any, error) { return pipeline.Status{Room: 7}, nil }}
	stop, err := telemetry.Control(t.Context(), dir, works, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	standBy(t, dir, "status cannot reach this process")
	var st pipeline.Status
	if err := telemetry.Ask(t.Context(), dir, "status", &st); err != nil || st.Room != 7 {
		t.Errorf("the working process does not answer any more: %+v, %v", st, err)
	}
}

// TestStandByOnOldState: what waits in the state file of a pod that worked before is not touched, and is told of.
func TestStandByOnOldState(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "state.db")
	if err := os.WriteFile(file, []byte("no state file at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	logged := standBy(t, dir, "admin endpoint")
	if !slices.ContainsFunc(logged, func(m string) bool { return strings.Contains(m, "what waits in it is not delivered") }) {
		t.Errorf("it does not tell of the state file: %q", logged)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "no state file at all" {
		t.Errorf("the state file is %q now: %v", text, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v: %v", left, err)
	}
}
