package normalizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

var update = flag.Bool("update", false, "write the golden files anew")

const testTenant = "5f2c7c1e-0a4b-4c57-9a53-6f3b0b1e7a01"

// newNormalizer gives a Normalizer and the schema ecs with its defaults.
func newNormalizer(tb testing.TB) (*Normalizer, event.Schema) {
	tb.Helper()
	n, err := New()
	if err != nil {
		tb.Fatal(err)
	}
	ecs, err := n.Schema("ecs", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return n, ecs
}

// newRecord makes the Record that a fetcher would make of raw.
func newRecord(stream string, raw []byte) event.Record {
	return event.Record{
		Key:    event.StreamKey{Cloud: "global", Tenant: testTenant, Stream: stream},
		ID:     "id-of-the-fetcher",
		Time:   time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Read:   time.Date(2026, 3, 4, 5, 8, 0, 250e6, time.UTC),
		Digest: 0x0123456789abcdef,
		Raw:    raw,
	}
}

// testRecords reads testdata/records: files named STREAM-CASE.json, one record each, compacted to what the service sends.
func testRecords(tb testing.TB) map[string]event.Record {
	tb.Helper()
	files, err := filepath.Glob("testdata/records/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no test records: %v", err)
	}
	records := map[string]event.Record{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		var raw bytes.Buffer
		if err := json.Compact(&raw, data); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		stream, _, _ := strings.Cut(name, "-")
		records[name] = newRecord(stream, raw.Bytes())
	}
	return records
}

// TestGolden shows each record's event without the record itself; TestRecordIsKept covers that.
func TestGolden(t *testing.T) {
	n, _ := newNormalizer(t)
	schema, err := n.Schema("ecs", map[string]string{"raw": "drop"})
	if err != nil {
		t.Fatal(err)
	}
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			out, err := n.Normalize(nil, rec, schema)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, out, "", " "); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got.WriteByte('\n')
			golden := filepath.Join("testdata", "golden", name+".ecs.json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("event differs from %s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func TestRecordIsKept(t *testing.T) {
	n, ecs := newNormalizer(t)
	for name, rec := range testRecords(t) {
		before := bytes.Clone(rec.Raw)
		out, err := n.Normalize(nil, rec, ecs)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(out, append(append([]byte(`,"entra":`), before...), '}')) {
			t.Errorf("%s: the record is not the event's last member, byte for byte", name)
		}
		if !bytes.Equal(rec.Raw, before) {
			t.Errorf("%s: the record was written to", name)
		}
		raw, err := n.Normalize([]byte("x"), rec, event.Schema{Name: "raw", Version: Version})
		if err != nil || string(raw) != "x"+string(before) {
			t.Errorf("%s: raw = %s, %v", name, raw, err)
		}
	}
}

func TestLineEndsBetweenTokensBecomeBlanks(t *testing.T) {
	n, ecs := newNormalizer(t)
	rec := newRecord("audits", []byte("{\r\n \"id\": \"a\\nb\"\n}\n"))
	for _, schema := range []event.Schema{ecs, {Name: "raw"}} {
		out, err := n.Normalize(nil, rec, schema)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(out, "\r\n") || !bytes.Contains(out, []byte(`{   "id": "a\nb" }`)) {
			t.Errorf("%s: %q", schema.Name, out)
		}
	}
}

func TestPoison(t *testing.T) {
	n, ecs := newNormalizer(t)
	for _, raw := range []string{"", " ", "null", "[]", `[{}]`, `"x"`, "1", "{", `{"id":`, `{"id":"x"`, `{"id":"x"}x`, `{} {}`, `{"id":x}`, `{"id":"\x"}`, "{\"id\":\"a\nb\"}",
		`{"a":` + strings.Repeat("[", 1100) + strings.Repeat("]", 1100) + `}`} {
		for _, stream := range []string{"signins.interactive", "audits", "risk.users"} {
			for _, schema := range []event.Schema{ecs, {Name: "raw"}} {
				dst := []byte("kept")
				out, err := n.Normalize(dst, newRecord(stream, []byte(raw)), schema)
				if err == nil || string(out) != "kept" {
					t.Errorf("%s %s %q: got %q, %v; want an error and dst as it was", schema.Name, stream, raw, out, err)
				}
			}
		}
	}
	_, err := n.Normalize(nil, newRecord("audits", []byte("[]")), ecs)
	if !errors.Is(err, errNotObject) || !strings.Contains(err.Error(), "audits") {
		t.Errorf("error does not name the place: %v", err)
	}
	if _, err := n.Normalize(nil, newRecord("audits", []byte("{]")), ecs); !errors.Is(err, jsonscan.ErrSyntax) {
		t.Errorf("got %v, want a syntax error", err)
	}
}

func TestSchema(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, c := range []struct {
		name    string
		options map[string]string
		want    string // options, or part of the error
		bad     bool
	}{
		{"ecs", nil, "", false},
		{"raw", nil, "", false},
		{"ecs", map[string]string{"raw": "keep", "interrupted_outcome": "unknown"}, "", false},
		{"ecs", map[string]string{"raw": "drop", "interrupted_outcome": "failure"}, "interrupted_outcome=failure,raw=drop", false},
		{"ecs", map[string]string{"raw": "maybe"}, "keep, drop", true},
		{"ecs", map[string]string{"colour": "red"}, "interrupted_outcome, raw", true},
		{"raw", map[string]string{"raw": "drop"}, "has none", true},
		{"ECS", nil, "there are ecs, ", true},
		{"", nil, "there are ecs, ", true},
	} {
		got, err := n.Schema(c.name, c.options)
		switch {
		case c.bad && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("Schema(%q, %v): error %v, want it to name %q", c.name, c.options, err, c.want)
		case !c.bad && (err != nil || got != event.Schema{Name: c.name, Version: Version, Options: c.want}):
			t.Errorf("Schema(%q, %v) = %+v, %v; want options %q", c.name, c.options, got, err, c.want)
		}
	}
	if _, err := n.Normalize(nil, newRecord("audits", []byte("{}")), event.Schema{Name: "unheard-of"}); err == nil {
		t.Error("an unknown schema was rendered")
	}
}

func TestInterruptedOutcome(t *testing.T) {
	n, _ := newNormalizer(t)
	rec := newRecord("signins.interactive", []byte(`{"status":{"errorCode":50074}}`))
	for _, want := range []string{"unknown", "failure", "success"} {
		schema, err := n.Schema("ecs", map[string]string{"interrupted_outcome": want})
		if err != nil {
			t.Fatal(err)
		}
		m := flatEvent(t, n, rec, schema)
		if m["event.outcome"] != want || m["logferry.signin.result"] != "interrupted" || m["logferry.signin.password_accepted"] != true {
			t.Errorf("interrupted_outcome=%s: got %v", want, m)
		}
	}
}

func TestFlags(t *testing.T) {
	n, ecs := newNormalizer(t)
	rec := newRecord("audits", []byte(`{"activityDateTime":"yesterday"}`))
	rec.Flags = event.FlagUpdate | event.FlagUncertain | event.FlagNoTime | event.FlagNoID | event.FlagResent
	m := flatEvent(t, n, rec, ecs)
	for _, key := range []string{"update", "uncertain", "no_time", "no_id", "resent"} {
		if m["logferry."+key] != true {
			t.Errorf("logferry.%s = %v", key, m["logferry."+key])
		}
	}
	if m["@timestamp"] != "2026-03-04T05:06:07Z" || m["event.id"] != rec.ID || m["logferry.event_id"] != rec.EventID().String() {
		t.Errorf("got %v", m)
	}
}

// TestNoTime: .NET's year 1 stands for no time; the fetcher puts the start of the slice in its place and flags it.
func TestNoTime(t *testing.T) {
	n, ecs := newNormalizer(t)
	for stream, raw := range map[string]string{
		"signins.interactive": `{"createdDateTime":"0001-01-01T00:00:00Z"}`,
		"audits":              `{"activityDateTime":"0001-01-01T00:00:00Z"}`,
	} {
		rec := newRecord(stream, []byte(raw))
		rec.Flags = event.FlagNoTime
		if got := flatEvent(t, n, rec, ecs)["@timestamp"]; got != "2026-03-04T05:06:07Z" {
			t.Errorf("%s: @timestamp = %v, want the record's Time", stream, got)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	n, ecs := newNormalizer(t)
	records := testRecords(t)
	want := map[string]string{}
	for name, rec := range records {
		out, err := n.Normalize(nil, rec, ecs)
		if err != nil {
			t.Fatal(err)
		}
		want[name] = string(out)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var buf []byte
			for range 20 {
				for name, rec := range records {
					out, err := n.Normalize(buf[:0], rec, ecs)
					if err != nil || string(out) != want[name] {
						t.Errorf("%s: got %s, %v", name, out, err)
					}
					buf = out
				}
			}
		})
	}
	wg.Wait()
}

func TestNoAllocations(t *testing.T) {
	n, ecs := newNormalizer(t)
	buf := make([]byte, 0, 64<<10)
	for name, rec := range testRecords(t) {
		for _, schema := range []event.Schema{ecs, {Name: "ecs", Options: "interrupted_outcome=failure,raw=drop"}, {Name: "raw"}, {Name: "ocsf"}, {Name: "ocsf", Options: "raw=drop"}} {
			if got := testing.AllocsPerRun(100, func() { buf, _ = n.Normalize(buf[:0], rec, schema) }); got != 0 {
				t.Errorf("%s to %s: %v allocations per record", name, schema.Name, got)
			}
		}
	}
}

// flatEvent renders rec and gives the event's leaves by dotted path, without the record itself. Lists stay lists.
func flatEvent(t testing.TB, n *Normalizer, rec event.Record, schema event.Schema) map[string]any {
	t.Helper()
	out, err := n.Normalize(nil, rec, schema)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(out, &tree); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	delete(tree, "entra")
	flat := map[string]any{}
	flatten(flat, "", tree)
	return flat
}

func flatten(into map[string]any, prefix string, tree map[string]any) {
	for key, v := range maps.All(tree) {
		if m, ok := v.(map[string]any); ok && prefix+key != "source.geo.location" {
			flatten(into, prefix+key+".", m)
			continue
		}
		into[prefix+key] = v
	}
}
