package normalizer

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// Traced is a leaf of a record and what came of it.
type Traced struct {
	Member string   // its path: "status.errorCode", "authenticationDetails[0].succeeded"
	Value  string   // its JSON
	Fields []string // the event's fields that change when it is null, sorted; none: it stays in the record alone
}

// Trace tells which members of a record went where in a schema, by asking the mapping itself: each leaf in turn becomes null, and
// what changes in the event came of it. The record under a name of its own is left out where the schema can do so. It is slow
// (one rendering for each leaf) and meant for people.
func (n *Normalizer) Trace(rec event.Record, schema event.Schema) ([]Traced, error) {
	if dropped, err := n.Schema(schema.Name, map[string]string{"raw": "drop"}); err == nil && schema.Options == "" {
		schema = dropped
	}
	rec.ID, rec.Time, rec.Read = "", time.Time{}, time.Unix(0, 0) // they stand in for members that are absent
	whole, err := n.fields(rec, schema)
	if err != nil {
		return nil, err
	}
	raw := rec.Raw
	var traced []Traced
	for _, l := range leaves(nil, "", &jsonscan.Reader{Buf: raw}) {
		rec.Raw = slices.Concat(raw[:l.at.start], []byte("null"), raw[l.at.end:])
		without, err := n.fields(rec, schema)
		if err != nil {
			return nil, err
		}
		t := Traced{Member: l.path, Value: string(bytes.TrimSpace(raw[l.at.start:l.at.end]))}
		for name, value := range whole {
			if without[name] != value {
				t.Fields = append(t.Fields, name)
			}
		}
		for name := range without { // what stands in for the member
			if _, ok := whole[name]; !ok {
				t.Fields = append(t.Fields, name)
			}
		}
		slices.Sort(t.Fields)
		traced = append(traced, t)
	}
	return traced, nil
}

// Fields gives the fields of an event of any schema by name; those of a list as one.
func Fields(body []byte) map[string]string {
	fields := map[string]string{}
	r := jsonscan.Reader{Buf: body}
	if r.Kind() != jsonscan.Object {
		return textFields(body)
	}
	for _, l := range leaves(nil, "", &r) {
		name := withoutIndex.ReplaceAllString(l.path, "")
		value := string(bytes.TrimSpace(body[l.at.start:l.at.end]))
		if before, ok := fields[name]; ok {
			value = before + " " + value
		}
		fields[name] = value
	}
	return fields
}

func (n *Normalizer) fields(rec event.Record, schema event.Schema) (map[string]string, error) {
	body, err := n.Normalize(nil, rec, schema)
	if err != nil {
		return nil, err
	}
	return Fields(body), nil
}

var (
	withoutIndex = regexp.MustCompile(`\[[0-9]+\]`)
	textField    = regexp.MustCompile(`(?:^|[ \t|])([A-Za-z0-9_.]+)=`)
	tabbedField  = regexp.MustCompile(`[\t|]([A-Za-z0-9_.]+)=`) // of LEEF, whose values have bare = after blanks
)

// textFields gives the name=value pairs of an event that is no JSON; what stands before them is the field "header".
func textFields(body []byte) map[string]string {
	fields := map[string]string{}
	name, from, field := "header", 0, textField
	if bytes.HasPrefix(body, []byte("LEEF:")) {
		field = tabbedField
	}
	for _, m := range field.FindAllSubmatchIndex(body, -1) {
		fields[name] = string(bytes.TrimSpace(body[from:m[0]]))
		name, from = string(body[m[2]:m[3]]), m[1]
	}
	fields[name] = string(bytes.TrimSpace(body[from:]))
	return fields
}

// leaf is a value that is neither an object nor a list, or an empty one.
type leaf struct {
	path string
	at   span
}

// leaves walks over a value and appends its leaves. A broken text gives those before the fault.
func leaves(list []leaf, path string, r *jsonscan.Reader) []leaf {
	kind := r.Kind()
	start, before := r.Pos, len(list)
	switch kind {
	case jsonscan.Object:
		for r.Object(); ; {
			key, ok := r.Member()
			if !ok {
				break
			}
			name := string(jsonscan.Unescape(nil, key))
			if path != "" {
				name = path + "." + name
			}
			list = leaves(list, name, r)
		}
	case jsonscan.Array:
		r.Array()
		for i := 0; r.Element(); i++ {
			list = leaves(list, path+"["+strconv.Itoa(i)+"]", r)
		}
	default:
		r.Skip()
	}
	if len(list) == before && path != "" && r.Err() == nil {
		list = append(list, leaf{path, span{uint32(start), uint32(r.Pos)}})
	}
	return list
}
