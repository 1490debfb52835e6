package normalizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

// envelopes are the schemas of this file, by the ending of their golden files.
var envelopes = map[string]event.Schema{
	"envelope":       {Name: "envelope", Version: Version},
	"envelope-graph": {Name: "envelope", Version: Version, Options: "case=graph"},
	"elastic":        {Name: "ecs", Version: Version, Options: "profile=elastic,raw=drop"},
}

// TestEnvelopeGolden shows each record's envelope and its event in the elastic profile. case: graph shows itself in TestEnvelopeAsSent.
func TestEnvelopeGolden(t *testing.T) {
	n, _ := newNormalizer(t)
	for name, rec := range testRecords(t) {
		for _, ending := range []string{"envelope", "elastic"} {
			t.Run(name+"/"+ending, func(t *testing.T) {
				var got bytes.Buffer
				if err := json.Indent(&got, normalized(t, n, rec, envelopes[ending]), "", " "); err != nil {
					t.Fatal(err)
				}
				got.WriteByte('\n')
				golden := filepath.Join("testdata", "golden", name+"."+ending+".json")
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
}

func normalized(t testing.TB, n *Normalizer, rec event.Record, schema event.Schema) []byte {
	t.Helper()
	out, err := n.Normalize(nil, rec, schema)
	if err != nil || !json.Valid(out) || !utf8.Valid(out) || bytes.ContainsAny(out, "\r\n") {
		t.Fatalf("%v: record %s\nevent %s", err, rec.Raw, out)
	}
	return out
}

// tree reads JSON with numbers as they are written. Of members that stand twice the last counts.
func tree(t testing.TB, data []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return v
}

// unwrapped gives an envelope's properties.
func unwrapped(t testing.TB, envelope []byte) map[string]any {
	t.Helper()
	m, ok := tree(t, envelope)["properties"].(map[string]any)
	if !ok {
		t.Fatalf("no properties: %s", envelope)
	}
	return m
}

// expectedProperties makes the changes that docs/mapping.md lists: the slow way, by trees.
func expectedProperties(t testing.TB, rec event.Record) map[string]any {
	t.Helper()
	want := withoutNulls(tree(t, rec.Raw)).(map[string]any)
	if rec.Key.Family() == "signins" {
		spellUserType(want, "userType")
	}
	if _, ok := want["tenantId"]; !ok {
		want["tenantId"] = rec.Key.Tenant
	}
	return want
}

func spellUserType(m map[string]any, name string) {
	u, _ := m[name].(string)
	switch strings.ToLower(strings.TrimSpace(u)) {
	case "member":
		m[name] = "Member"
	case "guest":
		m[name] = "Guest"
	}
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if value == nil {
				delete(v, key)
			} else {
				v[key] = withoutNulls(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return v
}

// isLegacy tells records that are translated, whose properties have other names than the record.
func isLegacy(t testing.TB, rec event.Record) bool {
	t.Helper()
	var names []string
	switch rec.Key.Family() {
	case "signins":
		names = signInNames[signInLegacySigninDateTime:]
	case "audits", "attributes":
		names = auditNames[auditLegacyActivity:]
	}
	for key := range tree(t, rec.Raw) {
		if slices.Contains(names, key) {
			return true
		}
	}
	return false
}

// TestEnvelopeRoundTrip: what comes out of the envelope is the record, up to the changes that are listed.
func TestEnvelopeRoundTrip(t *testing.T) {
	n, _ := newNormalizer(t)
	checked := 0
	for name, rec := range testRecords(t) {
		if isLegacy(t, rec) {
			continue
		}
		checked++
		out := normalized(t, n, rec, envelopes["envelope"])
		if diff := cmp.Diff(expectedProperties(t, rec), unwrapped(t, out)); diff != "" {
			t.Errorf("%s (-record +properties):\n%s", name, diff)
		}
	}
	if checked < 35 {
		t.Errorf("%d records", checked)
	}
}

// TestEnvelopeAsSent: in case graph, properties are the record byte for byte and the tenant behind it. In case eventhub they are so, too, where
// the record has neither nulls nor a type of user.
func TestEnvelopeAsSent(t *testing.T) {
	n, _ := newNormalizer(t)
	for name, rec := range testRecords(t) {
		if isLegacy(t, rec) {
			continue
		}
		want := `"properties":` + strings.TrimSuffix(string(rec.Raw), "}")
		if !strings.HasSuffix(want, "{") {
			want += ","
		}
		want += `"tenantId":"` + testTenant + `"},"logferry":`
		if out := normalized(t, n, rec, envelopes["envelope-graph"]); !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s: want %s\nin %s", name, want, out)
		}
		plain := rec
		plain.Raw = []byte(strings.NewReplacer("null", "0", "userType", "typeOfUser").Replace(string(rec.Raw)))
		want = strings.NewReplacer("null", "0", "userType", "typeOfUser").Replace(want)
		if out := normalized(t, n, plain, envelopes["envelope"]); !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s without nulls: want %s\nin %s", name, want, out)
		}
	}
}

// TestEnvelopeMutated: whatever stands in a record, the way there and back gives it again, and the elastic profile agrees with the slow one.
func TestEnvelopeMutated(t *testing.T) {
	n, _ := newNormalizer(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, uint64(len(rec.Raw))))
			for round := range 100 {
				v := map[string]any{}
				if err := json.Unmarshal(rec.Raw, &v); err != nil {
					t.Fatal(err)
				}
				for range 1 + r.IntN(6) {
					if m, ok := mutate(r, v).(map[string]any); ok {
						v = m
					}
				}
				changed := newRecord(rec.Key.Stream, scribble(r, nil, v))
				for _, schema := range envelopes {
					normalized(t, n, changed, schema)
				}
				once := newRecord(rec.Key.Stream, scribbleOnce(r, v))
				if isLegacy(t, changed) || isLegacy(t, rec) {
					checkNothingLost(t, n, once)
					continue
				}
				for _, rec := range []event.Record{changed, once} {
					if doubledNull(rec.Raw) {
						continue
					}
					if diff := cmp.Diff(expectedProperties(t, rec), unwrapped(t, normalized(t, n, rec, envelopes["envelope"]))); diff != "" {
						t.Fatalf("round %d: record %s (-record +properties):\n%s", round, rec.Raw, diff)
					}
				}
				checkElastic(t, n, once)
			}
		})
	}
}

// checkNothingLost: whatever the names, each value of the record is among those of the properties.
func checkNothingLost(t *testing.T, n *Normalizer, rec event.Record) {
	t.Helper()
	values := func(v any) map[any]int {
		flat, count := map[string]any{}, map[any]int{}
		flattenAll(flat, "", v)
		for _, value := range flat {
			count[value]++
		}
		return count
	}
	got := values(unwrapped(t, normalized(t, n, rec, envelopes["envelope"])))
	for value, count := range values(withoutNulls(tree(t, rec.Raw))) {
		if got[value] < count {
			t.Fatalf("%v is lost: %s", value, rec.Raw)
		}
	}
}

// doubledNull tells whether a member may stand twice, once with null: leaving the null out changes which one counts.
func doubledNull(raw []byte) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	names, doubled := map[string]bool{}, false
	for {
		token, err := d.Token()
		if err != nil {
			return doubled
		}
		if s, ok := token.(string); ok { // values as well: rather too many
			doubled = doubled || names[s]
			names[s] = true
		}
	}
}

// scribbleOnce prints v with blanks and escapes, but no member twice.
func scribbleOnce(r *rand.Rand, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		out := []byte("{")
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				out = append(out, " ,\n"...)
			}
			out = append(append(scribbleText(r, out, key), ':', ' '), scribbleOnce(r, v[key])...)
		}
		return append(out, '\n', '}')
	case []any:
		out := []byte("[")
		for i := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, scribbleOnce(r, v[i])...)
		}
		return append(out, ']')
	}
	return scribble(r, nil, v)
}

// TestEnvelopeHasNoRawOption: the record is the event; the error says so.
func TestEnvelopeHasNoRawOption(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, value := range []string{"drop", "keep"} {
		if _, err := n.Schema("envelope", map[string]string{"raw": value}); err == nil || !strings.Contains(err.Error(), "under properties") {
			t.Errorf("raw=%s: %v", value, err)
		}
	}
	for value, want := range map[string]string{"eventhub": "", "graph": "case=graph"} {
		if s, err := n.Schema("envelope", map[string]string{"case": value}); err != nil || s.Options != want {
			t.Errorf("case=%s: %+v, %v", value, s, err)
		}
	}
}

// TestEnvelopeTells: who looks for an event by what we know of it finds it.
func TestEnvelopeTells(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, stream := range []string{"signins.interactive", "audits", "risk.users"} {
		rec := newRecord(stream, []byte(`{"id":"a"}`))
		rec.Flags = event.FlagUpdate | event.FlagUncertain | event.FlagNoTime | event.FlagNoID | event.FlagResent
		got := tree(t, normalized(t, n, rec, envelopes["envelope"]))["logferry"]
		want := map[string]any{"stream": stream, "tenant": testTenant, "event_id": rec.EventID().String(), "mapping": json.Number(fmt.Sprint(Version)),
			"update": true, "uncertain": true, "no_time": true, "no_id": true, "resent": true}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestEnvelopeAllocatesNothing measures all test records.
func TestEnvelopeAllocatesNothing(t *testing.T) {
	n, _ := newNormalizer(t)
	buf := make([]byte, 0, 64<<10)
	for name, rec := range testRecords(t) {
		for _, schema := range envelopes {
			if got := testing.AllocsPerRun(50, func() { buf, _ = n.Normalize(buf[:0], rec, schema) }); got != 0 {
				t.Errorf("%s to %s %s: %v allocations per record", name, schema.Name, schema.Options, got)
			}
		}
	}
}

// FuzzEnvelope: any bytes give an error or an envelope that gives the record again.
func FuzzEnvelope(f *testing.F) {
	for _, rec := range testRecords(f) {
		f.Add(rec.Key.Stream, rec.Raw)
	}
	for _, s := range []string{`{}`, `{"userType":"\u006dember"}`, "{\"a\"\n:\r1,\"b\":null}", `{"deviceInformation":";;","geoCoordinates":null,"location":{}}`,
		`{"targetResources":{},"targets":[[null,{"name":null}]],"actor":[]}`, `{"authenticationProcessingDetails":[{"key":"a","value":{}},{"key":"a"},[]]}`} {
		f.Add("signins.interactive", []byte(s))
		f.Add("audits", []byte(s))
	}
	f.Add(`risk."`, []byte(`{}`)) // a stream that has no row is its own category
	n, _ := newNormalizer(f)
	f.Fuzz(func(t *testing.T, stream string, raw []byte) {
		if !utf8.Valid(raw) || !utf8.ValidString(stream) || bytes.Count(raw, []byte("[")) > 900 || bytes.Count(raw, []byte("{")) > 900 {
			return
		}
		rec := newRecord(stream, raw)
		for _, schema := range envelopes {
			if _, err := n.Normalize(nil, rec, schema); err != nil {
				return
			}
			normalized(t, n, rec, schema)
		}
		if isLegacy(t, rec) || bytes.IndexByte(raw, '\\') >= 0 || doubledNull(raw) {
			return
		}
		if diff := cmp.Diff(expectedProperties(t, rec), unwrapped(t, normalized(t, n, rec, envelopes["envelope"]))); diff != "" {
			t.Errorf("%s: (-record +properties):\n%s", raw, diff)
		}
	})
}
