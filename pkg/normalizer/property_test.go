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
	"unicode/utf8"
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
	fields := ecsFields(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(len(rec.Raw))))
			for round := range 400 {
				var tree map[string]any
				if err := json.Unmarshal(rec.Raw, &tree); err != nil {
					t.Fatal(err)
				}
				for range 1 + r.IntN(6) {
					if m, ok := mutate(r, tree).(map[string]any); ok {
						tree = m
					}
				}
				raw, err := json.Marshal(tree)
				if err != nil {
					t.Fatal(err)
				}
				changed := newRecord(rec.Key.Stream, raw)
				out, err := n.Normalize(nil, changed, ecs)
				if err != nil || !json.Valid(out) || !utf8.Valid(out) || !bytes.HasSuffix(out, append(append([]byte(`,"entra":`), raw...), '}')) {
					t.Fatalf("round %d: %v\nrecord %s\nevent %s", round, err, raw, out)
				}
				flat := flatEvent(t, n, changed, ecs)
				checkECS(t, fields, flat)
				for key, want := range oracle(rec.Key.Family(), tree, changed.ID) {
					if got := fmt.Sprint(flat[key]); got != want && !(want == "" && flat[key] == nil) {
						t.Errorf("%s = %q, encoding/json reads %q", key, got, want)
					}
				}
				if t.Failed() {
					t.Fatalf("round %d\nrecord %s\nevent %s", round, raw, out)
				}
			}
		})
	}
}

// textAt reads a member by path from a decoded record as text: "" for what is absent or says nothing.
func textAt(v any, path ...string) string {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	s, _ := v.(string)
	if s = strings.TrimSpace(s); !says([]byte(s)) {
		return ""
	}
	return s
}

// oracle computes the main fields of an event in the plain, slow way; "" for absent.
func oracle(family string, tree map[string]any, id string) map[string]string {
	want := map[string]string{"event.id": id}
	if own := textAt(tree, "id"); own != "" && !slices.Contains([]string{"provisioning", "risk", "security"}, family) {
		want["event.id"] = own
	}
	switch family {
	case "risk":
		want["source.address"] = textAt(tree, "ipAddress")
		want["user.name"] = strings.ToLower(textAt(tree, "userPrincipalName"))
		if want["user.name"]+textAt(tree, "userId")+textAt(tree, "userDisplayName") == "" {
			want["user.name"] = textAt(tree, "servicePrincipalDisplayName")
		}
	case "signins":
		want["service.id"] = textAt(tree, "appId")
		want["service.target.name"] = textAt(tree, "resourceDisplayName")
		want["trace.id"] = textAt(tree, "correlationId")
		want["source.address"] = textAt(tree, "ipAddress")
		want["source.geo.city_name"] = textAt(tree, "location", "city")
		want["user_agent.original"] = textAt(tree, "userAgent")
		want["device.id"] = textAt(tree, "deviceDetail", "deviceId")
		user := textAt(tree, "userId") + textAt(tree, "userPrincipalName")
		if user != "" && textAt(tree, "servicePrincipalId")+textAt(tree, "servicePrincipalName") == "" {
			want["user.id"] = textAt(tree, "userId")
			want["user.name"] = strings.ToLower(textAt(tree, "userPrincipalName"))
			want["user.full_name"] = textAt(tree, "userDisplayName")
		}
		status, _ := tree["status"].(map[string]any)
		if code, ok := status["errorCode"].(float64); ok && code == float64(int64(code)) && code < 1e18 {
			want["event.code"] = fmt.Sprint(int64(code))
		} else {
			want["event.code"], want["event.outcome"] = "", "unknown"
		}
	case "audits", "attributes":
		want["event.action"] = textAt(tree, "activityDisplayName")
		want["event.provider"] = textAt(tree, "loggedByService")
		want["event.reason"] = textAt(tree, "resultReason")
		want["source.address"] = textAt(tree, "initiatedBy", "user", "ipAddress")
		user := func(key string) string { return textAt(tree, "initiatedBy", "user", key) }
		if user("id")+user("userPrincipalName")+user("displayName") != "" {
			want["user.id"] = user("id")
			want["user.name"] = strings.ToLower(user("userPrincipalName"))
		} else {
			want["user.id"] = textAt(tree, "initiatedBy", "app", "servicePrincipalId")
		}
		want["user.target.id"] = ""
		targets, _ := tree["targetResources"].([]any)
		for _, v := range targets {
			if m, _ := v.(map[string]any); m["type"] == "User" || m["Type"] == "User" {
				want["user.target.id"] = textAt(m, "id")
				want["user.target.name"] = strings.ToLower(textAt(m, "userPrincipalName"))
				break
			}
		}
	}
	return want
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
		line := strings.NewReplacer("\n", " ", "\r", " ").Replace(string(bytes.Trim(raw, " \t\r\n")))
		if out = out[1:]; !object || !json.Valid(out) || !utf8.Valid(out) || !strings.HasSuffix(string(out), `,"entra":`+line+`}`) {
			t.Fatalf("record %q gives %q", raw, out)
		}
	})
}
