package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/route"
)

// testRecord makes a record that goes where the stream's records go and that nobody can take for one of them: it says so in clear
// text, its names are reserved ones (RFC 2606, RFC 5737).
func testRecord(tenant, stream string, now time.Time) event.Record {
	id := "logferry-test-" + rand.Text()
	const says = "logferry test event"
	member := "createdDateTime"
	if row, ok := entra.Lookup(stream); ok {
		member = row.TimeMember
	}
	// Strings alone: this cannot fail.
	raw, _ := json.Marshal(map[string]string{
		"id": id, member: now.Format(time.RFC3339), "eventKind": "test",
		"note":                "This is a test event of logferry check --send-test: nothing has happened.",
		"activityDisplayName": says, "appDisplayName": says, "displayName": says,
		"userPrincipalName": "nobody@example.com", "ipAddress": "192.0.2.1",
	})
	return event.Record{Key: event.StreamKey{Cloud: "test", Tenant: tenant, Stream: stream}, ID: id, Time: now, Read: now, Raw: raw}
}

// sendTest sends the first of records, an audit if there is one, and says where to look for it. The sink sees of it what it is to see
// of others.
func (c *checker) sendTest(ctx context.Context, s config.Sink, sink pipeline.Sink, trimmer *route.Trimmer, schema event.Schema, records []event.Record) (says string, err error) {
	if len(records) == 0 {
		return "no stream goes there, nothing was sent", nil
	}
	rec := records[max(0, slices.IndexFunc(records, func(r event.Record) bool { return r.Key.Stream == "audits" }))]
	if trimmer != nil {
		if rec.Raw, err = trimmer.Trim(nil, &rec); err != nil {
			return "", err
		}
	}
	e := event.Event{Record: rec, EventID: rec.EventID()}
	if e.Body, err = c.normalizer.Normalize(nil, rec, schema); err != nil {
		return "", err
	}
	if err := sink.Send(ctx, []event.Event{e}); err != nil {
		return "", err
	}
	return fmt.Sprintf("a test event was sent: look %s for %q, event_id %s", where(s, &rec), rec.ID, e.EventID), nil
}

// where says where the record's event is to be found.
func where(s config.Sink, rec *event.Record) string {
	fill := func(name string) string {
		t, err := event.ParseTemplate(name)
		if err != nil {
			return name // it was checked with the configuration
		}
		return string(t.Append(nil, rec))
	}
	switch s.Block() {
	case "splunk":
		if s.Splunk.Index != "" {
			return "in Splunk's index " + fill(s.Splunk.Index)
		}
		return "in the token's default index of Splunk"
	case "kafka":
		return "in the topic " + fill(s.Kafka.Topic) + " of " + strings.Join(s.Kafka.Brokers, ",")
	case "syslog":
		return "in the log of the receiver at " + s.Syslog.Address
	case "elastic":
		return "in " + fill(s.Elastic.Target()) + " of the cluster"
	case "http":
		return "in what " + s.HTTP.Endpoints[0] + " feeds"
	case "file":
		return "in the file " + fill(s.File.Path)
	}
	return "in standard output"
}
