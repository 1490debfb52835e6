package elastic

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

const deployed = "../../../deploy/elastic/"

// mapping is a field of a component template.
type mapping struct {
	Type       string             `json:"type"`
	Properties map[string]mapping `json:"properties"`
}

type component struct {
	Template struct {
		Mappings mapping         `json:"mappings"`
		Settings json.RawMessage `json:"settings"`
	} `json:"template"`
}

func read(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(deployed + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// types gives the type of each leaf by its path, and how many fields the mapping has, objects included as the cluster counts.
func (m mapping) types() (leaves map[string]string, fields int) {
	leaves = map[string]string{}
	var walk func(path string, m mapping)
	walk = func(path string, m mapping) {
		for name, field := range m.Properties {
			fields++
			if field.Type != "" {
				leaves[path+name] = field.Type
			}
			walk(path+name+".", field)
		}
	}
	walk("", m)
	return leaves, fields
}

// rendered gives events of schema ecs: records of every stream that the simulator makes, and the normalizer's odd ones.
func rendered(t *testing.T) (events []map[string]any) {
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, stream := range []string{"signins.interactive", "signins.noninteractive", "signins.serviceprincipal", "signins.managedidentity", "audits"} {
		for i := range 200 {
			r := event.Record{Key: event.StreamKey{Cloud: "global", Tenant: posttest.Tenant, Stream: stream}, ID: fmt.Sprint(i), Time: at, Read: at, Flags: event.Flags(i % 32)}
			r.Raw = simulator.AppendRecord(nil, stream, 7, int64(i), at)
			text, err := n.Normalize(nil, r, event.Schema{Name: "ecs"})
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, decode(t, text))
		}
	}
	golden, err := filepath.Glob("../../normalizer/testdata/golden/*.ecs.json")
	if err != nil || len(golden) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range golden {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, decode(t, text))
	}
	return events
}

func decode(t *testing.T, text []byte) (e map[string]any) {
	t.Helper()
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// leaves adds the paths of v's values to paths, with what the mapping must be able to take there.
func leaves(paths map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, point := v["lat"]; point {
			paths[path] = "point"
			return
		}
		for name, member := range v {
			leaves(paths, strings.TrimPrefix(path+"."+name, "."), member)
		}
	case []any:
		for _, element := range v {
			leaves(paths, path, element)
		}
	case nil:
	default:
		paths[path] = fmt.Sprintf("%T", v)
	}
}

// TestTemplateMapsEveryField: over a thousand varied records need no dynamic mapping, whose first guess may be wrong, and stay
// below the 1,000 fields that an index may have. The record itself is one field.
func TestTemplateMapsEveryField(t *testing.T) {
	var ecs component
	read(t, "component-ecs.json", &ecs)
	mapped, fields := ecs.Template.Mappings.types()
	taken := map[string]string{
		"keyword": "string", "text": "string", "ip": "string", "date": "string", "long": "float64", "boolean": "bool", "geo_point": "point",
	}
	outside, inside := map[string]string{}, map[string]string{}
	events := rendered(t)
	for _, e := range events {
		leaves(inside, "entra", e["entra"])
		delete(e, "entra")
		leaves(outside, "", e)
	}
	for _, path := range slices.Sorted(maps.Keys(outside)) {
		if as, ok := mapped[path]; !ok || taken[as] != outside[path] {
			t.Errorf("%s is a %s, mapped as %q", path, outside[path], as)
		}
	}
	t.Logf("%d events have %d paths outside the record and %d inside; the mapping has %d fields with the record as one", len(events), len(outside), len(inside), fields+1)
	if fields+1 >= 1000 || len(inside) < 100 || len(outside) < 50 {
		t.Error("the field limit is 1,000, and the events must be varied")
	}
}

// TestTemplateTypes holds the types against those of the Elastic Common Schema.
func TestTemplateTypes(t *testing.T) {
	var ecs component
	read(t, "component-ecs.json", &ecs)
	mapped, _ := ecs.Template.Mappings.types()
	file, err := os.Open("../../normalizer/testdata/ecs_fields.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, row := range rows[1:] {
		types[row[0]] = strings.Replace(row[1], "match_only_text", "text", 1) // OpenSearch has had it since 2.12 only
	}
	for path, as := range mapped {
		if !strings.HasPrefix(path, "logferry.") && as != types[path] {
			t.Errorf("%s is mapped as %q, want %q", path, as, types[path])
		}
	}
}

// TestTemplateParts: the index template is for the sink's default data stream and is made of the component templates.
func TestTemplateParts(t *testing.T) {
	for name, want := range map[string]string{"component-record-elasticsearch.json": "flattened", "component-record-opensearch.json": "flat_object"} {
		var record component
		read(t, name, &record)
		if got, fields := record.Template.Mappings.types(); fields != 1 || got["entra"] != want {
			t.Errorf("%s maps %v", name, got)
		}
	}
	var index struct {
		IndexPatterns []string        `json:"index_patterns"`
		ComposedOf    []string        `json:"composed_of"`
		DataStream    *struct{}       `json:"data_stream"`
		Priority      int             `json:"priority"`
		Template      json.RawMessage `json:"template"`
	}
	read(t, "index-template.json", &index)
	if index.DataStream == nil || index.Priority <= 200 || fmt.Sprint(index.ComposedOf) != "[logferry-ecs logferry-record]" {
		t.Errorf("the index template is %+v", index)
	}
	to, err := newTarget(Default().DataStream)
	if err != nil {
		t.Fatal(err)
	}
	e := posttest.Samples(1)[0]
	name := to.template.Append(nil, &e.Record)
	if ok, err := filepath.Match(index.IndexPatterns[0], string(name)); err != nil || !ok {
		t.Errorf("the pattern %s does not match %s: %v", index.IndexPatterns, name, err)
	}
	readme, err := os.ReadFile(deployed + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(deployed + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !bytes.Contains(readme, []byte(filepath.Base(file))) {
			t.Errorf("the README does not say how to install %s", filepath.Base(file))
		}
	}
}
