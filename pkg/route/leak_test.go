package route

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/normalizer"
)

// samples are the normalizer's test records of every stream.
func samples(t testing.TB) map[string]event.Record {
	t.Helper()
	files, err := filepath.Glob("../normalizer/testdata/records/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("no records: %v", err)
	}
	all := map[string]event.Record{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		stream, _, _ := strings.Cut(name, "-")
		all[name] = newRecord(stream, bytes.TrimSpace(raw))
	}
	return all
}

// pathsOf lists the paths of a value, arrays passed over.
func pathsOf(v any, at string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if strings.ContainsAny(name, ".@") || at == "" && slices.Contains(fixed, name) {
				continue
			}
			path := strings.TrimPrefix(at+"."+name, ".")
			into[path] = true
			pathsOf(value, path, into)
		}
	case []any:
		for _, e := range v {
			pathsOf(e, at, into)
		}
	}
}

// plant puts the canary in the place of each scalar at or below the path.
func plant(v any, path []string, canary any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			switch {
			case len(path) == 0:
				out[name] = plant(value, nil, canary)
			case name == path[0]:
				out[name] = plant(value, path[1:], canary)
			default:
				out[name] = value
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plant(e, path, canary)
		}
		return out
	}
	if len(path) == 0 {
		return canary
	}
	return v
}

// TestNothingLeaks: of a value that is dropped or hashed no event shows anything, at whatever path of whatever record it stands,
// in any schema; the rest of the record is what it was.
func TestNothingLeaks(t *testing.T) {
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	var schemas []event.Schema
	for _, name := range []string{"raw", "ecs", "envelope", "ecs elastic"} {
		name, profile, _ := strings.Cut(name, " ")
		options := map[string]string{"profile": profile}
		if profile == "" {
			options = nil
		}
		schema, err := n.Schema(name, options)
		if err != nil {
			t.Fatal(err)
		}
		schemas = append(schemas, schema)
	}
	keyed := keyFile(t, testKey)
	tried, shown := 0, 0
	for name, rec := range samples(t) {
		var tree any
		if err := json.Unmarshal(rec.Raw, &tree); err != nil {
			t.Fatal(err)
		}
		paths := map[string]bool{}
		pathsOf(tree, "", paths)
		for path := range paths {
			configs := []Config{{DropFields: []string{path}}, {HashFields: []string{path}, HashKeyFile: keyed}}
			trimmers := make([]*Trimmer, len(configs))
			for i, c := range configs {
				if trimmers[i], err = NewTrimmer(c); err != nil {
					t.Fatal(err)
				}
			}
			canaries := []any{"Canary.Seven@canary.example.com", "198.51.100.77", json.Number("7734907349"), `["Canary.Seven"]`}
			for i, canary := range canaries[len(path)%2*2:][:2] { // two for each, for the time that it takes
				raw, err := json.Marshal(plant(tree, strings.Split(path, "."), canary))
				if err != nil {
					t.Fatal(err)
				}
				marks := []string{"canary", "198.51.100.77", "7734907349"}
				rec.Raw = raw
				if leaks(t, n, rec, schemas, marks) == "" {
					continue // the path leads to an empty object or list
				}
				shown++
				for at, c := range configs {
					trimmed := rec
					trimmed.Raw = agree(t, trimmers[at], c.DropFields, c.HashFields, raw)
					if leak := leaks(t, n, trimmed, schemas, marks); leak != "" {
						t.Errorf("%s, canary %d, %+v: %s", name, i, c, leak)
					}
					tried++
				}
			}
		}
	}
	t.Logf("%d values planted, %d records trimmed", shown, tried)
	if tried < 1000 {
		t.Errorf("only %d records were tried", tried)
	}
}

// leaks gives the first event that shows one of the marks, "" for none.
func leaks(t *testing.T, n *normalizer.Normalizer, rec event.Record, schemas []event.Schema, marks []string) string {
	t.Helper()
	for _, schema := range schemas {
		out, err := n.Normalize(nil, rec, schema)
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range marks {
			if bytes.Contains(bytes.ToLower(out), []byte(mark)) {
				return string(out)
			}
		}
	}
	return ""
}

// TestHashedInECS: a user that is hashed is still one user, in the record and in the fields that rules look at; a hashed address is
// an address no longer.
func TestHashedInECS(t *testing.T) {
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := n.Schema("ecs", nil)
	if err != nil {
		t.Fatal(err)
	}
	trimmer := newTrimmer(t, nil, []string{"userPrincipalName", "userDisplayName", "ipAddress", "initiatedBy.user.userPrincipalName"})
	anna := hashOf(testKey, "anna@contoso.com")
	for stream, raw := range map[string]string{
		"signins.interactive": `{"id":"1","createdDateTime":"2026-03-04T05:06:07Z","userPrincipalName":"Anna@contoso.com","userDisplayName":"Anna","userId":"u","ipAddress":"192.0.2.7","status":{"errorCode":0}}`,
		"audits":              `{"id":"1","activityDateTime":"2026-03-04T05:06:07Z","activityDisplayName":"x","initiatedBy":{"user":{"id":"u","userPrincipalName":"anna@contoso.com"}}}`,
		"risk.detections":     `{"id":"1","userPrincipalName":"anna@CONTOSO.com","userId":"u","ipAddress":"192.0.2.7"}`,
	} {
		rec := newRecord(stream, []byte(raw))
		out, err := trimmer.Trim(nil, &rec)
		if err != nil {
			t.Fatal(err)
		}
		rec.Raw = out
		body, err := n.Normalize(nil, rec, schema)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			User    struct{ Name, Email, Domain, ID string }
			Source  struct{ IP string }
			Related struct{ IP []string }
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Fatal(err)
		}
		if e.User.Name != anna || e.User.ID != "u" || e.User.Email+e.User.Domain != "" || e.Source.IP != "" || e.Related.IP != nil {
			t.Errorf("%s: %+v\n%s", stream, e, body)
		}
	}
}
