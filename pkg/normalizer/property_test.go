package normalizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/jsonscan"
)

// oddValues are what a member may turn into: absence in all its forms, wrong types, text that needs care.
var oddValues = []string{
	`null`, `""`, `" "`, `"hidden"`, `"Unknown"`, `"unknownFutureValue"`, `"` + zeroGUID + `"`, `true`, `0`, `-1`, `1e300`, `0.5`, `[]`, `{}`, `[null]`, `["hidden"]`, `[{}]`, `"\"quoted\""`, `"[\"x\"]"`,
	`"{\"a\":"`, `"back\\slash"`, `"line\nend"`, `" Ünï Cödé "`, `"\u2028"`, `"\u0000"`, `"A@B.Example.com"`, `"203.0.113.9:443"`, `"2001:db8::9"`, `"x@"`, `{"id":"x","user":{"id":5}}`,
}

// mutate changes one value somewhere in v.
func mutate(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 || r.IntN(12) == 0 {
			break
		}
		keys := slices.Sorted(maps.Keys(v))
		key := keys[r.IntN(len(keys))]
		if r.IntN(20) == 0 {
			delete(v, key)
		} else {
			v[key] = mutate(r, v[key])
		}
		return v
	case []any:
		if len(v) == 0 || r.IntN(6) == 0 {
			break
		}
		i := r.IntN(len(v))
		if v[i] = mutate(r, v[i]); r.IntN(4) == 0 {
			v = append(v, v[i])
		}
		return v
	}
	var odd any
	if err := json.Unmarshal([]byte(oddValues[r.IntN(len(oddValues))]), &odd); err != nil {
		panic(err)
	}
	return odd
}

// TestMutatedRecords: whatever stands in a record's members, the event is valid, is ECS, keeps the record, and its main fields
// are what a reading by encoding/json gives.
func TestMutatedRecords(t *testing.T) {
	n, ecs := newNormalizer(t)
	fields := readECS(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(rec.Raw))))
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
				changed := newRecord(rec.Key.Stream, raw)
				out, err := n.Normalize(nil, changed, ecs)
				if err != nil || !json.Valid(out) || !utf8.Valid(out) || !bytes.HasSuffix(out, append(append([]byte(`,"entra":`), oneLine(raw)...), '}')) {
					t.Fatalf("round %d: %v\nrecord %s\nevent %s", round, err, raw, out)
				}
				flat := flatEvent(t, n, changed, ecs)
				checkECS(t, fields, flat)
				checkMain(t, flat, checkModel(t, n, changed))
				if t.Failed() {
					t.Fatalf("round %d\nrecord %s\nevent %s", round, raw, out)
				}
			}
		})
	}
}

// checkMain holds an event's main fields against what encoding/json reads.
func checkMain(t *testing.T, event map[string]any, read map[string]string) {
	t.Helper()
	fields := map[string]string{"event.id": "id", "service.id": "appId", "service.name": "appDisplayName", "service.target.name": "resourceDisplayName", "trace.id": "correlationId",
		"http.request.id": "originalRequestId", "source.geo.city_name": "city", "user_agent.original": "userAgent", "device.id": "device.id", "event.code": "code", "source.address": "ipAddress"}
	switch _, audit := read["activity"]; {
	case len(read) == 0: // another family
		return
	case audit:
		fields = map[string]string{"event.id": "id", "event.action": "activity", "event.reason": "reason", "event.provider": "service", "trace.id": "correlation", "user_agent.original": "agent"}
		if by := strings.Split(read["by"], "|"); by[0]+by[1]+by[2] != "" {
			fields["user.id"], fields["user.name"] = "by id", "by name"
			read["by id"], read["by name"] = by[0], strings.ToLower(by[1])
		}
	case read["userId"]+read["userPrincipalName"] != "" && read["servicePrincipalId"]+read["servicePrincipalName"] == "":
		fields["user.id"], fields["user.name"] = "userId", "lower name"
		read["lower name"] = strings.ToLower(read["userPrincipalName"])
	}
	for field, key := range fields {
		got, _ := event[field].(string)
		if got != read[key] && !(field == "event.id" && read[key] == "") {
			t.Errorf("%s = %q, encoding/json reads %q", field, got, read[key])
		}
	}
}

// scribble prints v as nobody would: escapes and blanks where none are needed, members twice of which the last counts, members of no
// use that are deep or long.
func scribble(r *rand.Rand, dst []byte, v any) []byte {
	blanks := func() {
		if r.IntN(30) == 0 {
			dst = append(dst, " \t\r\n "[:1+r.IntN(5)]...)
		}
	}
	blanks()
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			odd := func() []byte {
				return append(append(scribbleText(r, dst, key), ':'), oddValues[r.IntN(len(oddValues))]...)
			}
			if r.IntN(25) == 0 {
				dst = append(odd(), ',')
			}
			if r.IntN(60) == 0 {
				deep := r.IntN(60)
				dst = append(dst, `"nonsense":`+strings.Repeat(`[{"a":`, deep)+`"`+strings.Repeat("long ", r.IntN(200))+`"`+strings.Repeat(`}]`, deep)+`,`...)
			}
			dst = scribbleText(r, dst, key)
			blanks()
			dst = append(dst, ':')
			dst = scribble(r, dst, v[key])
			if r.IntN(25) == 0 {
				dst = append(dst, ',')
				dst = odd()
			}
		}
		blanks()
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = scribble(r, dst, e)
		}
		return append(dst, ']')
	case string:
		return scribbleText(r, dst, v)
	}
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return append(dst, out...)
}

func scribbleText(r *rand.Rand, dst []byte, s string) []byte {
	if r.IntN(10) > 0 {
		return jsonscan.AppendString(dst, s)
	}
	dst = append(dst, '"')
	for _, c := range utf16.Encode([]rune(s)) {
		dst = fmt.Appendf(dst, `\u%04x`, c)
	}
	return append(dst, '"')
}

// oneLine is how a record stands in an event.
func oneLine(raw []byte) string {
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(string(bytes.Trim(raw, " \t\r\n")))
}

// FuzzNormalize: any bytes give an error or a valid event that ends with the record.
func FuzzNormalize(f *testing.F) {
	for _, rec := range testRecords(f) {
		f.Add(rec.Key.Stream, rec.Raw)
	}
	for _, s := range []string{`{}`, `[]`, `{"id":"\ud800"}`, `{"location":{"geoCoordinates":{"latitude":1e400,"longitude":1}}}`, `{"ipAddress":"[::1%a]:1"}`, "{\"a\"\n:\r1}",
		`{"targetResources":[{"modifiedProperties":[{"displayName":"Group.ObjectID","newValue":"\"\\u0022\\\\\""}]}]}`} {
		f.Add("signins.interactive", []byte(s))
		f.Add("audits", []byte(s))
	}
	n, ecs := newNormalizer(f)
	f.Fuzz(func(t *testing.T, stream string, raw []byte) {
		if !utf8.Valid(raw) || !utf8.ValidString(stream) {
			return // pages are checked before they are split
		}
		before := bytes.Clone(raw)
		out, err := n.Normalize([]byte("x"), newRecord(stream, raw), ecs)
		if !bytes.Equal(raw, before) {
			t.Fatalf("the record was written to: %q", before)
		}
		trimmed := bytes.TrimSpace(raw)
		object := json.Valid(raw) && len(trimmed) > 0 && trimmed[0] == '{'
		if err != nil {
			if string(out) != "x" {
				t.Fatalf("dst was changed to %q", out)
			}
			if object && !strings.Contains(err.Error(), "deeply") {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if bytes.Count(raw, []byte("[")) < 900 { // deeper than that encoding/json reads more
			checkModel(t, n, newRecord(stream, raw))
		}
		line := oneLine(raw)
		if out = out[1:]; !object || !json.Valid(out) || !utf8.Valid(out) || !strings.HasSuffix(string(out), `,"entra":`+line+`}`) {
			t.Fatalf("record %q gives %q", raw, out)
		}
	})
}
