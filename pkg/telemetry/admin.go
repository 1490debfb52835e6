package telemetry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/pipeline"
)

// verdict names the class of a send's error.
func verdict(err error) string { return fault.Of(err).String() }

// AdminHandler serves the probes and the metrics. /livez and /readyz never depend on a peer: a sidecar would take its pod out of
// service with it. /healthz is for alerts: 503 with the reasons while an operator has something to mend.
func (m *Metrics) AdminHandler(status func() pipeline.Status) http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /livez", ok)
	mux.HandleFunc("GET /readyz", ok)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		blocked := status().Blocked()
		if len(blocked) == 0 {
			fmt.Fprintln(w, "ok")
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, f := range blocked {
			fmt.Fprintf(w, "%s: %s (since %s)\n", f.Part, printable(f.Err), f.Since.UTC().Format(time.RFC3339))
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}))
	return mux
}

// printable leaves out what a terminal would take for an order: a peer's words stand in errors, and people look with curl.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// Serve answers on l until it is closed.
func Serve(l net.Listener, h http.Handler) (stop func()) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			l.Close()
		}
	}()
	return func() {
		srv.Close()
		<-done
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // a client that has gone away
}
