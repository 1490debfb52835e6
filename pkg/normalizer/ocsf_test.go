package normalizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

func ocsfBody(tb testing.TB, n *Normalizer, rec event.Record, options map[string]string) []byte {
	tb.Helper()
	schema, err := n.Schema("ocsf", options)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := n.Normalize(nil, rec, schema)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// TestOCSFGolden shows each record's event without the record itself.
func TestOCSFGolden(t *testing.T) {
	n, _ := newNormalizer(t)
	s := readOCSFSchema(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			out := ocsfBody(t, n, rec, map[string]string{"raw": "drop"})
			var got bytes.Buffer
			if err := json.Indent(&got, out, "", " "); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got.WriteByte('\n')
			golden := filepath.Join("testdata", "golden", name+".ocsf.json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("event differs from %s (-want +got):\n%s", golden, diff)
			}
			checkOCSF(t, s, out, "1.8.0")
		})
	}
}

// TestOCSFRawData: the text raw_data reads as the record byte for byte, also over several lines; the event itself is one line.
func TestOCSFRawData(t *testing.T) {
	n, _ := newNormalizer(t)
	records := testRecords(t)
	records["lines"] = newRecord("audits", []byte("{\r\n\t\"id\": \"a\\nb \\\"c\\\" \\\\\"\n}"))
	for name, rec := range records {
		before := bytes.Clone(rec.Raw)
		out := ocsfBody(t, n, rec, nil)
		var tree struct {
			Raw *string `json:"raw_data"`
		}
		if err := json.Unmarshal(out, &tree); err != nil || tree.Raw == nil || *tree.Raw != string(before) || bytes.ContainsAny(out, "\r\n") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		if !bytes.Equal(rec.Raw, before) {
			t.Errorf("%s: the record was written to", name)
		}
		if out := ocsfBody(t, n, rec, map[string]string{"raw": "drop"}); bytes.Contains(out, []byte("raw_data")) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestOCSFMutated: whatever stands in a record's members, the event is valid and keeps the record.
func TestOCSFMutated(t *testing.T) {
	n, _ := newNormalizer(t)
	s := readOCSFSchema(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, uint64(len(rec.Raw))))
			for round := range 150 {
				var tree map[string]any
				if err := json.Unmarshal(rec.Raw, &tree); err != nil {
					t.Fatal(err)
				}
				for range 1 + r.IntN(6) {
					if m, ok := mutate(r, tree).(map[string]any); ok {
						tree = m
					}
				}
				raw := scribble(r, nil, tree)
				checkOCSFOf(t, n, s, newRecord(rec.Key.Stream, raw))
				if t.Failed() {
					t.Fatalf("round %d\nrecord %s", round, raw)
				}
			}
		})
	}
}

// checkOCSFOf holds the event of a record against what every event must be.
func checkOCSFOf(t *testing.T, n *Normalizer, s ocsfSchema, rec event.Record) {
	t.Helper()
	out := ocsfBody(t, n, rec, nil)
	var tree map[string]any
	if err := json.Unmarshal(out, &tree); err != nil || !utf8.Valid(out) || tree["raw_data"] != string(bytes.Trim(rec.Raw, " \t\r\n")) {
		t.Errorf("%v: event %s", err, out)
	}
	for _, fault := range s.check(tree, "1.8.0") {
		t.Errorf("%s in %s", fault, out)
	}
}

// FuzzOCSF: any object gives a valid event with the record in it.
func FuzzOCSF(f *testing.F) {
	for _, rec := range testRecords(f) {
		f.Add(rec.Key.Stream, rec.Raw)
	}
	n, _ := newNormalizer(f)
	s := readOCSFSchema(f)
	f.Fuzz(func(t *testing.T, stream string, raw []byte) {
		if !utf8.Valid(raw) || !utf8.ValidString(stream) || stream == "" || !json.Valid(raw) {
			return
		}
		rec := newRecord(stream, raw)
		if _, err := n.Normalize(nil, rec, event.Schema{Name: "ocsf"}); err == nil {
			checkOCSFOf(t, n, s, rec)
		}
	})
}

// TestOCSFReadsAsCIM: what Splunk's add-on for OCSF takes source, destination and user from. It looks at hostname, address and name, in
// this order.
func TestOCSFReadsAsCIM(t *testing.T) {
	n, _ := newNormalizer(t)
	read := 0
	for name, rec := range testRecords(t) {
		flat := flatOCSF(t, n, rec)
		if flat["class_uid"] != 3002.0 {
			continue
		}
		read++
		var record struct {
			UserPrincipalName, ServicePrincipalName, ResourceDisplayName, IPAddress string
		}
		if json.Unmarshal(rec.Raw, &record) != nil {
			continue
		}
		endpoint := func(object string) any {
			return cmp.Or(flat[object+".hostname"], flat[object+".ip"], flat[object+".name"])
		}
		if record.ResourceDisplayName != "" && endpoint("dst_endpoint") != record.ResourceDisplayName {
			t.Errorf("%s: dest is %v", name, endpoint("dst_endpoint"))
		}
		if a := parseAddress(text(record.IPAddress)); a.ip.IsValid() && endpoint("src_endpoint") != a.ip.String() {
			t.Errorf("%s: src is %v", name, endpoint("src_endpoint"))
		}
		if want := cmp.Or(strings.ToLower(record.UserPrincipalName), record.ServicePrincipalName); want != "" && flat["user.name"] != want {
			t.Errorf("%s: user is %v, want %s", name, flat["user.name"], want)
		}
		if flat["actor.user.name"] != nil { // would be src_user: somebody who acts as another one
			t.Errorf("%s: actor.user.name is %v", name, flat["actor.user.name"])
		}
	}
	if read < 12 {
		t.Errorf("only %d sign-ins", read)
	}
}
