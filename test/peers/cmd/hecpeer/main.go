// Command hecpeer runs OpenTelemetry's splunkhecreceiver and writes what it accepted to DIR/hec.ndjson.
//
// It never checks tokens, refuses a batch whole where Splunk stores the part before the fault, reads numbers as 64-bit
// floats (large integers and the last digits of time are rounded), and puts events of one request that share host,
// source, sourcetype and index together.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/ackextension"
	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/splunkhecreceiver"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/receiver"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

const receiverModule = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/splunkhecreceiver"

var (
	port = flag.Int("port", 0, "port on 127.0.0.1; 0 chooses a free one")
	ack  = flag.Bool("ack", false, "offer indexer acknowledgement (ackextension)")
)

// maxBody is far above what any client sends: the receiver answers a larger body with 400, Splunk with 413.
const maxBody = 1 << 30

func main() {
	peer.Main(peer.Peer{
		Probe: func(s *peer.Status) { s.Ready, s.Version = true, peer.ModuleVersion(receiverModule) },
		Serve: serve,
	})
}

func serve(ctx context.Context, o *peer.Options) error {
	cert, err := o.Certificate()
	if err != nil {
		return err
	}
	path := filepath.Join(o.Dir, "hec.ndjson")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open output: %w", err)
	}
	defer out.Close()
	ready := peer.Ready{Receiver: "splunkhecreceiver", Version: peer.ModuleVersion(receiverModule), Out: path}
	if cert != nil {
		ready.CA = cert.CA
	}
	stop, address, err := startAnywhere(ctx, cert, &writer{file: out})
	if err != nil {
		return err
	}
	defer stop()
	ready.Address = address
	if err := peer.Announce(ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// startAnywhere starts the receiver on the port of the flag. The receiver cannot say which port it got, so a free one
// is chosen beforehand, and again when somebody else was quicker.
func startAnywhere(ctx context.Context, cert *peer.Certificate, w *writer) (func(), string, error) {
	if *port != 0 {
		address := peer.Loopback(*port)
		stop, err := start(ctx, address, cert, w)
		return stop, address, err
	}
	for attempt := 1; ; attempt++ {
		ports, err := peer.FreePorts(1)
		if err != nil {
			return nil, "", err
		}
		address := peer.Loopback(ports[0])
		stop, err := start(ctx, address, cert, w)
		if err == nil || attempt == 5 {
			return stop, address, err
		}
	}
}

func start(ctx context.Context, address string, cert *peer.Certificate, w *writer) (func(), error) {
	logger, err := zap.NewProduction(zap.IncreaseLevel(zap.WarnLevel))
	if err != nil {
		return nil, fmt.Errorf("make logger: %w", err)
	}
	telemetry := component.TelemetrySettings{
		Logger: logger, MeterProvider: metricnoop.NewMeterProvider(), TracerProvider: tracenoop.NewTracerProvider(),
	}
	sink, err := consumer.NewLogs(w.consume)
	if err != nil {
		return nil, fmt.Errorf("make consumer: %w", err)
	}
	factory := splunkhecreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig().(*splunkhecreceiver.Config)
	cfg.Endpoint, cfg.MaxRequestBodySize = address, maxBody
	cfg.HecToOtelAttrs.Host, cfg.HecToOtelAttrs.Source = "host", "source"
	cfg.HecToOtelAttrs.SourceType, cfg.HecToOtelAttrs.Index = "sourcetype", "index"
	if cert != nil {
		cfg.TLS = configoptional.Some(configtls.ServerConfig{
			Config: configtls.Config{CertFile: cert.Cert, KeyFile: cert.Key},
		})
	}
	h := host{}
	if *ack {
		id := component.MustNewID("ack")
		f := ackextension.NewFactory()
		ext, err := f.Create(ctx, extension.Settings{ID: id, TelemetrySettings: telemetry}, f.CreateDefaultConfig())
		if err != nil {
			return nil, fmt.Errorf("make ack extension: %w", err)
		}
		if err := ext.Start(ctx, h); err != nil {
			return nil, fmt.Errorf("start ack extension: %w", err)
		}
		h[id], cfg.Ack.Extension = ext, &id
	}
	settings := receiver.Settings{ID: component.MustNewID("splunk_hec"), TelemetrySettings: telemetry}
	r, err := factory.CreateLogs(ctx, settings, cfg, sink)
	if err != nil {
		return nil, fmt.Errorf("make receiver: %w", err)
	}
	if err := r.Start(ctx, h); err != nil {
		return nil, fmt.Errorf("start receiver on %s: %w", address, err)
	}
	return func() { r.Shutdown(context.Background()) }, nil
}

// host is what the receiver asks for its extensions.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }
