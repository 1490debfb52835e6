package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/retry"
	"github.com/logferry/logferry/pkg/route"
	"github.com/logferry/logferry/pkg/telemetry"
)

// CheckLine is what check --connect found out about one part.
type CheckLine struct {
	Part  string `json:"part"` // as status names it: "source contoso", "stream contoso/audits", "sink splunk"
	OK    bool   `json:"ok"`
	Says  string `json:"says"`            // what was found, or what to mend and who can
	Cause string `json:"cause,omitempty"` // of a source's fault: see docs/troubleshooting.md

	RequestID       string `json:"request_id,omitempty"` // of the request that failed: what Microsoft's support asks for
	ClientRequestID string `json:"client_request_id,omitempty"`
}

const (
	checkTime  = time.Minute    // for one request, and for one sink
	checkTries = 3              // requests for a stream's page: what passes by itself is no finding
	checkBack  = 24 * time.Hour // how old a stream's records may be to be seen
)

// checker looks at the parts of a configuration without its state: another process may be running on it.
type checker struct {
	*App
	normalizer *normalizer.Normalizer
	send       bool // a test event to each sink
}

// Check signs in every source, reads one row of each stream and tries each sink without writing to it, or, with send, by one test
// event. The lines come in the order of the configuration. It needs no lock; its few requests come on top of those of a process
// that runs.
func Check(ctx context.Context, cfg *config.Config, o Options, send bool) ([]CheckLine, error) {
	n, err := normalizer.New()
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	a := &App{made: made{cfg: cfg}, o: o, log: o.Log, metrics: telemetry.NewMetrics(o.Version), shared: entra.NewShared()}
	defer func() { _ = a.shared.Close() }()
	c := &checker{App: a, normalizer: n, send: send}

	sources, tenants := make([][]CheckLine, len(cfg.Sources)), make([]string, len(cfg.Sources))
	var work sync.WaitGroup
	for i, s := range cfg.Sources {
		work.Go(func() { sources[i], tenants[i] = c.source(ctx, s) })
	}
	work.Wait()
	sinks := make([]CheckLine, len(cfg.Sinks))
	for i, s := range cfg.Sinks {
		work.Go(func() { sinks[i] = c.sink(ctx, s, c.samples(s, tenants)) })
	}
	work.Wait()
	return append(slices.Concat(sources...), sinks...), ctx.Err()
}

// source signs in and reads of each stream. Where the sign-in fails the streams are not tried.
func (c *checker) source(ctx context.Context, s config.Source) (lines []CheckLine, tenant string) {
	line := CheckLine{Part: "source " + s.Name}
	tenant = s.Entra.Graph.Tenant
	var mu sync.Mutex
	var last entra.Request
	f, err := entra.New(s.Entra.Graph, entra.Options{
		Transport: c.o.Transport, UserAgent: "logferry/" + c.o.Version, Shared: c.shared, Timeout: checkTime,
		Observe: func(r entra.Request) { mu.Lock(); last = r; mu.Unlock() },
	})
	failed := func(line CheckLine, err error) CheckLine {
		mu.Lock()
		defer mu.Unlock()
		line.Says, line.Cause = err.Error(), string(entra.CauseOf(err))
		if last.Err != nil || last.Status >= 400 {
			line.RequestID, line.ClientRequestID = last.RequestID, last.ClientRequestID
		}
		return line
	}
	if err != nil {
		return []CheckLine{failed(line, err)}, tenant
	}
	roles, err := f.Roles(ctx)
	if err == nil {
		tenant, err = f.Tenant(ctx)
	}
	if err != nil {
		line = failed(line, err)
		line.Cause = cmp.Or(line.Cause, string(entra.CauseSignIn))
		return []CheckLine{line}, tenant
	}
	line.OK, line.Says = true, fmt.Sprintf("signed in to %s in cloud %s; %s", tenant, f.Cloud(), holds(roles))
	lines = append(lines, line)
	names, _ := s.Entra.Graph.StreamNames() // New has seen them
	for _, name := range names {
		line := CheckLine{Part: "stream " + s.Name + "/" + name}
		if says, err := c.stream(ctx, f, name); err != nil {
			line = failed(line, err)
		} else {
			line.OK, line.Says = true, says
		}
		lines = append(lines, line)
	}
	return lines, tenant
}

func holds(roles []string) string {
	switch {
	case roles == nil:
		return "the token does not tell its permissions"
	case len(roles) == 0:
		return "the token holds no application permission"
	}
	return "the token holds " + strings.Join(roles, ", ")
}

// stream reads one row: the newest or the oldest of the last day, as the API orders them.
func (c *checker) stream(ctx context.Context, f *entra.Fetcher, name string) (says string, err error) {
	for tries := 1; ; tries++ {
		slice := event.Slice{Stream: name, Reader: "check", From: f.Now().Add(-checkBack).Truncate(time.Second), Top: 1}
		for page, pageErr := range f.Fetch(ctx, slice) {
			if err = pageErr; err != nil {
				break
			}
			if len(page.Records) == 0 && !page.Last {
				continue // an empty page says nothing
			}
			if len(page.Records) == 0 {
				return "readable; it has no record of the last day", nil
			}
			return "readable; it has shown a record of " + page.Records[0].Time.Format(time.RFC3339), nil
		}
		// The limiter keeps to whatever pause a throttled request has brought.
		if fault.Of(err) == fault.Blocked || tries == checkTries || retry.Sleep(ctx, time.Second) != nil {
			return "", err
		}
	}
}

// sink makes the sink and tries it.
func (c *checker) sink(ctx context.Context, s config.Sink, records []event.Record) CheckLine {
	line := CheckLine{Part: "sink " + s.Name}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	schema, err := c.normalizer.Schema(s.SchemaName(), s.Schema.Options)
	var sink pipeline.Sink
	var trimmer *route.Trimmer
	if err == nil {
		trimmer, err = route.NewTrimmer(s.Route) // a key that is missing is found here, not at the start
	}
	if err == nil {
		sink, err = c.App.sink(s, schema, func(event.StreamKey, int) {}, func(event.StreamKey, int) {})
	}
	if err != nil {
		line.Says = err.Error()
		return line
	}
	defer sink.Close()
	if c.send {
		line.Says, err = c.sendTest(ctx, s, sink, trimmer, schema, records)
	} else {
		line.Says, err = probe(ctx, s.Block(), sink, records)
	}
	line.OK = err == nil
	if err != nil {
		line.Says = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return line
}

// probe has the sink try its receiver, if it has a way to do that without writing.
func probe(ctx context.Context, block string, sink pipeline.Sink, records []event.Record) (says string, err error) {
	prober, ok := sink.(interface {
		// Probe finds out, without writing, whether these records' events could be sent. Errors are those of Send.
		Probe(ctx context.Context, records []event.Record) error
	})
	if !ok {
		return "nothing to try", nil
	}
	found := map[string]string{
		"splunk":  "HEC takes the token, and acknowledges where ack is required; the index is not tried",
		"kafka":   "the topics are there; the right to write is not tried",
		"syslog":  "the receiver takes the connection",
		"elastic": "the cluster takes the credentials; the right to write is not tried",
		"http":    "the collector answers; whether it takes events is not tried",
		"file":    "the files can be written",
	}[block]
	return found, prober.Probe(ctx, records)
}

// samples are one test record for each stream of each tenant that the sink wants.
func (c *checker) samples(s config.Sink, tenants []string) (records []event.Record) {
	for i, source := range c.config().Sources {
		names, _ := source.Entra.Graph.StreamNames()
		for _, name := range names {
			if s.Wants(name) {
				records = append(records, testRecord(tenants[i], name, time.Now().UTC()))
			}
		}
	}
	return records
}
