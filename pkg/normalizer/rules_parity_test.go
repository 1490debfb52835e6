package normalizer_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/normalizer"
)

var (
	rulesDir   = flag.String("rules", "", "evaluate the rule files of this folder (our small form, Sigma) over events and print which fired; see with -v")
	recordsDir = flag.String("records", "", "with -rules: records of this folder instead of those of testdata/rules/records")
)

const parityTenant = "5f2c7c1e-0a4b-4c57-9a53-6f3b0b1e7a01"

// parityRecord is a record of the rules' tests.
type parityRecord struct {
	name   string // STREAM-CASE for ours
	kind   string
	record event.Record
}

// newParityRecord makes the Record that a fetcher would make of raw: one without a time of its own gets its slice's start.
func newParityRecord(name, stream string, raw []byte) (parityRecord, error) {
	var times struct {
		Created  string `json:"createdDateTime"`
		Activity string `json:"activityDateTime"`
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		return parityRecord{}, fmt.Errorf("read record %s: %w", name, err)
	}
	if err := json.Unmarshal(raw, &times); err != nil {
		return parityRecord{}, fmt.Errorf("read record %s: %w", name, err)
	}
	p := parityRecord{name: name, kind: kindSignIn, record: event.Record{
		Key: event.StreamKey{Cloud: "global", Tenant: parityTenant, Stream: stream}, ID: name, Digest: 0x0123456789abcdef, Raw: buf.Bytes(),
		Read: time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC),
	}}
	if strings.HasPrefix(stream, "audits") {
		p.kind = kindAudit
	}
	at, err := time.Parse(time.RFC3339Nano, times.Created+times.Activity)
	if err != nil {
		at, p.record.Flags = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC), event.FlagNoTime
	}
	p.record.Time = at
	return p, nil
}

// parityRecords reads our records: they were written after Microsoft's documents and before the writers, which must
// fit them and not the other way round.
func parityRecords(tb testing.TB) []parityRecord {
	tb.Helper()
	files, err := filepath.Glob("testdata/rules/records/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no records: %v", err)
	}
	var out []parityRecord
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		stream, _, _ := strings.Cut(name, "-")
		record, err := newParityRecord(name, stream, raw)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, record)
	}
	return out
}

// renderer gives records as decoded events of the schemas that rules are judged in.
type renderer struct {
	normalizer *normalizer.Normalizer
	schemas    map[string]event.Schema
	buf        []byte
}

func newRenderer(tb testing.TB) *renderer {
	tb.Helper()
	n, err := normalizer.New()
	if err != nil {
		tb.Fatal(err)
	}
	r := &renderer{normalizer: n, schemas: map[string]event.Schema{}}
	for name, options := range map[string]map[string]string{schemaEnvelope: nil, schemaElastic: {"profile": "elastic"}} {
		schema := "ecs"
		if name == schemaEnvelope {
			schema = schemaEnvelope
		}
		if r.schemas[name], err = n.Schema(schema, options); err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

func (r *renderer) event(record event.Record, schema string) (map[string]any, error) {
	var err error
	if r.buf, err = r.normalizer.Normalize(r.buf[:0], record, r.schemas[schema]); err != nil {
		return nil, err
	}
	return decodeObject(r.buf)
}

// decodeObject reads JSON with numbers as they are written.
func decodeObject(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out map[string]any
	err := d.Decode(&out)
	return out, err
}

// parityEvent is a record's event in one schema.
type parityEvent struct {
	record, kind, schema string
	event                map[string]any
}

func (r *renderer) events(tb testing.TB, records []parityRecord) []parityEvent {
	tb.Helper()
	var out []parityEvent
	for _, record := range records {
		for _, schema := range []string{schemaElastic, schemaEnvelope} {
			e, err := r.event(record.record, schema)
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, parityEvent{record.name, record.kind, schema, e})
		}
	}
	return out
}

// fired gives the records, sorted, whose events meet the rule's condition.
func fired(r *rule, events []parityEvent) []string {
	var out []string
	for _, e := range events {
		if e.schema == r.schema && e.kind == r.kind && r.condition.holds(e.event) {
			out = append(out, e.record)
		}
	}
	slices.Sort(out)
	return out
}

// parityRules reads our conditions.
func parityRules(tb testing.TB) []rule {
	tb.Helper()
	names, err := readFieldNames()
	if err != nil {
		tb.Fatal(err)
	}
	l := ruleLoader{names: names, strict: true}
	files, _ := filepath.Glob("testdata/rules/*.yaml")
	for _, file := range files {
		if err := l.file(file); err != nil {
			tb.Fatal(err)
		}
	}
	return l.rules
}

// TestRuleParity holds our events against conditions as published rules have them: each fires on its records and on no other.
func TestRuleParity(t *testing.T) {
	rules, records := parityRules(t), parityRecords(t)
	events := newRenderer(t).events(t, records)
	known := map[string]string{}
	for _, record := range records {
		known[record.name] = record.kind
	}
	counts := map[string][3]int{} // by dialect: conditions, fired, silent
	ids := map[string]bool{}
	for i := range rules {
		r := &rules[i]
		if ids[r.id] || len(r.fires) == 0 || known[r.silent] != r.kind || slices.Contains(r.fires, r.silent) {
			t.Errorf("%s:%d: %s: want an id of its own, records that it fires on and one that it does not", r.file, r.line, r.id)
		}
		ids[r.id] = true
		for _, name := range r.fires {
			if known[name] != r.kind {
				t.Errorf("%s:%d: %s: there is no record %s", r.file, r.line, r.id, name)
			}
		}
		got := fired(r, events)
		c := counts[r.dialect]
		c[0]++
		if slices.ContainsFunc(r.fires, func(name string) bool { return slices.Contains(got, name) }) {
			c[1]++
		}
		if !slices.Contains(got, r.silent) {
			c[2]++
		}
		counts[r.dialect] = c
		if want := slices.Sorted(slices.Values(r.fires)); !slices.Equal(got, want) {
			t.Errorf("%s:%d: %s fires on %v, want %v", r.file, r.line, r.id, got, want)
		}
	}
	if len(rules) < 60 {
		t.Errorf("%d conditions, want at least 60", len(rules))
	}
	checkGroups(t, counts)
}

// checkGroups prints how many conditions of each group fired on a record of theirs and were silent on the one nearest to it.
func checkGroups(t *testing.T, counts map[string][3]int) {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rules like\tconditions\tfired\tsilent\t")
	var sum [3]int
	for _, dialect := range slices.Sorted(maps.Keys(counts)) {
		c := counts[dialect]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t\n", dialect, c[0], c[1], c[2])
		for i := range sum {
			sum[i] += c[i]
		}
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%d\t\n", sum[0], sum[1], sum[2])
	w.Flush()
	t.Logf("each condition fires on its records and is silent on the one that comes nearest:\n%s", b.String())
	for _, dialect := range []string{"elastic", "sentinel", "escu", "panther", "sigma"} {
		if counts[dialect][0] < 10 {
			t.Errorf("%d conditions like those of %s, want at least 10", counts[dialect][0], dialect)
		}
	}
}
