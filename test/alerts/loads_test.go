package alerts

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// load is what a world has to do when nothing is wrong, and how it is configured.
type load struct {
	name    string
	options func(began time.Time) simulator.Options
	records []func(w *world)
	input   string // lines of the entra block
	state   string // of the state block, behind a comma
	sink    string // of the sink, behind a comma
	span    time.Duration
}

// usual is a small tenant.
var usual = &load{
	name: "usual", span: 4 * time.Hour, input: "start: 1h\nreread: [30m, 2h]\nstreams: [signins.interactive, audits]",
	options: func(began time.Time) simulator.Options { return twoStreams(began, hour, 0.02, 0.03) },
}

// changing has the records of usual change as often as many do.
var changing = &load{
	name: "changing", span: 4 * time.Hour, input: usual.input,
	options: func(began time.Time) simulator.Options { return twoStreams(began, hour, 0.05, 0.03) },
}

// day begins a day back, which is what this tenant keeps.
var day = &load{
	name: "day", span: 4 * time.Hour, input: "start: 23h\nretention: 1d\nreread: [30m, 2h]\nstreams: [signins.interactive, audits]",
	options: func(began time.Time) simulator.Options { return twoStreams(began, 23*time.Hour, 0.01, 0.03) },
}

// twoStreams makes so many records a second in each of two streams, of which a share changes within an hour.
func twoStreams(began time.Time, past time.Duration, rate, changed float64) simulator.Options {
	var o simulator.Options
	for _, stream := range []string{simulator.Interactive, simulator.Audits} {
		o.Generate = append(o.Generate, simulator.Generate{Stream: stream, Rate: rate, Since: began.Add(-past),
			Lateness: simulator.Lateness{Median: time.Minute, P95: 4 * time.Minute}, Updates: simulator.Updates{Share: changed, After: time.Hour}})
	}
	return o
}

// busy needs about half of what the budget allows.
var busy = &load{
	name: "busy", span: 4 * time.Hour, input: "start: 10m\nreread: [30m, 1h]\nstreams: [audits]\ntop: 100\nlookback: 5m",
	options: func(began time.Time) simulator.Options {
		return simulator.Options{Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 1, Since: began.Add(-10 * time.Minute)}}}
	},
}

// large makes 3 MB an hour, for a journal of 16 MiB.
var large = &load{
	name: "large", span: 8 * time.Hour, input: "start: 1h\nstreams: [audits]\nreread: [30m]\ntop: 7", state: ", journal_max_bytes: 16MiB",
	options: func(time.Time) simulator.Options { return simulator.Options{} },
	records: []func(*world){func(w *world) {
		noise, rng := make([]byte, 75_000), rand.NewChaCha8([32]byte{2})
		for i := range 8 * 30 {
			_, _ = rng.Read(noise)
			w.audit(fmt.Sprint("large", i), w.began.Add(time.Duration(i)*2*time.Minute), `,"pad":"`+base64.StdEncoding.EncodeToString(noise)+`"`)
		}
	}},
}

// losing is large with a sink that may lose records.
var losing = &load{name: "losing", span: large.span, input: large.input, state: large.state, sink: ", when_full: skip_oldest", options: large.options, records: large.records}

// audit adds a record with more members to the tenant.
func (w *world) audit(id string, at time.Time, more string) {
	raw := fmt.Appendf(nil, `{"id":%q,"activityDateTime":%q,"activityDisplayName":"Update user"%s}`, id, at.UTC().Format("2006-01-02T15:04:05.0000000Z"), more)
	if err := w.sim.Add(simulator.Audits, simulator.Record{Raw: raw}); err != nil {
		w.Fatal(err)
	}
}
