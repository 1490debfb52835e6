package app_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
)

// TestSourcesShareTheBudget: two sources that read the same tenant with the same app keep to its budget together.
func TestSourcesShareTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{Generate: generate(0.05, began.Add(-3*time.Hour), began.Add(20*time.Minute))}, "", "out")
		text := fmt.Sprintf("state: {dir: %q}\nadmin: {listen: \"off\"}\nsinks: [{name: out, schema: raw, stdout: {}}]\nsources:\n", w.path("state"))
		for name, streams := range map[string]string{"one": "audits, signins.interactive", "two": "signins.noninteractive, signins.serviceprincipal, signins.managedidentity"} {
			text += fmt.Sprintf("  - {name: %s, entra: {tenant: %s, auth: {client_id: %s, client_secret_file: %q}, streams: [%s], start: 3h}}\n",
				name, simulator.DefaultDomain, simulator.DefaultClientID, w.path("secret"), streams)
		}
		n, err := normalizer.New()
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Parse("test.yaml", []byte(text), n)
		if err != nil {
			t.Fatal(err)
		}
		a, err := app.New(cfg, app.Options{Version: "test", Transport: w.wire, NoSync: true, NoControl: true, Sink: func(_ config.Sink, real pipeline.Sink) pipeline.Sink {
			_ = real.Close()
			return outlet{w.sinks["out"], forever}
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		w.until(time.Hour)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		w.complete("out")
		w.checkBudget()
	})
}
