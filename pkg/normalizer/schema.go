package normalizer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/event"
)

// schema is one form of events.
type schema struct {
	name    string
	choices []choice
	// render reads the record that the job stands in front of and appends the event to j.out.buf.
	render func(j *job, rec *event.Record, o options) error
}

// schemas are those that there are: a writer in a file of its own, and a row here.
var schemas = [...]schema{
	// Elastic Common Schema 9.4 with the record under "entra"
	{"ecs", []choice{{"profile", []string{"standard", "elastic"}}, {"interrupted_outcome", []string{"unknown", "failure", "success"}}, rawChoice}, (*job).renderECS},
	// the form in which Azure Monitor sends these records to an Event Hub, the record under "properties"
	{"envelope", []choice{{"case", []string{"eventhub", "graph"}}}, (*job).renderEnvelope},
	// Open Cybersecurity Schema Framework 1.8.0 with the record as the text "raw_data"
	{"ocsf", []choice{rawChoice}, (*job).renderOCSF},
	// Splunk's Common Information Model (data models Authentication and Change), flat, with the record under "raw"
	{"cim", []choice{rawChoice}, (*job).renderCIM},
	// lines of text: Common Event Format 0 and Log Event Extended Format 2.0
	{"cef", []choice{rawDropped}, (*job).renderCEF},
	{"leef", []choice{rawDropped}, (*job).renderLEEF},
	// the record as Microsoft sent it, so that vendors' add-ons parse it
	{"raw", nil, (*job).renderRaw},
}

// choice is an option of a schema: the values it takes, the default first.
type choice struct {
	key    string
	values []string
}

var rawChoice = choice{"raw", []string{"keep", "drop"}}

// rawDropped is rawChoice of schemas that leave the record out unless asked for it.
var rawDropped = choice{"raw", []string{"drop", "keep"}}

// Schemas names the schemas that there are.
func Schemas() []string {
	list := make([]string, 0, len(schemas))
	for _, s := range schemas {
		list = append(list, s.name)
	}
	return list
}

// AllChoices gives the options of all schemas: schema, option, the values that it takes with the default first.
func AllChoices() map[string]map[string][]string {
	all := make(map[string]map[string][]string, len(schemas))
	for _, s := range schemas {
		all[s.name] = make(map[string][]string, len(s.choices))
		for _, c := range s.choices {
			all[s.name][c.key] = slices.Clone(c.values)
		}
	}
	return all
}

func schemaChoices(name string) ([]choice, error) {
	for _, s := range schemas {
		if s.name == name {
			return s.choices, nil
		}
	}
	return nil, unknownSchema(name)
}

func unknownSchema(name string) error {
	names := Schemas()
	last := len(names) - 1
	return fmt.Errorf("unknown schema %q: there are %s and %s", name, strings.Join(names[:last], ", "), names[last])
}

// Schema checks a schema's name and options and gives its canonical form. Options of ecs:
//
//	raw=keep|drop                                 with or without the record itself under "entra"
//	interrupted_outcome=unknown|failure|success   event.outcome of a sign-in that waits for the user (MFA asked, consent, ..)
//	profile=standard|elastic                      elastic: with azure.* as Elastic's integration lays it out, and its outcomes
//
// Options of envelope:
//
//	case=eventhub|graph   without null members and with userType in capitals, or the record as Graph sends it
//
// Of cim raw=keep|drop, of cef and leef raw=drop|keep. The first value is the default; an option at its default is left out of the canonical form, so that lanes which render
// alike compare equal. The error names what there is.
func (n *Normalizer) Schema(name string, options map[string]string) (event.Schema, error) {
	choices, err := schemaChoices(name)
	if err != nil {
		return event.Schema{}, err
	}
	if name == "envelope" && options["raw"] != "" {
		return event.Schema{}, fmt.Errorf("schema envelope: option raw: the record is the event itself, under properties, so there is nothing to keep beside it or to drop")
	}
	var canonical []string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		i := slices.IndexFunc(choices, func(c choice) bool { return c.key == key })
		if i < 0 {
			return event.Schema{}, unknownOption(name, key, choices)
		}
		values := choices[i].values
		if key == "interrupted_outcome" && options["profile"] == "elastic" {
			values = []string{"failure", "unknown", "success"} // the default is Elastic's
		}
		switch slices.Index(values, options[key]) {
		case -1:
			return event.Schema{}, fmt.Errorf("schema %s: option %s is %q: want one of %s", name, key, options[key], strings.Join(values, ", "))
		case 0:
		default:
			canonical = append(canonical, key+"="+options[key])
		}
	}
	return event.Schema{Name: name, Version: Version, Options: strings.Join(canonical, ",")}, nil
}

func unknownOption(name, key string, choices []choice) error {
	if len(choices) == 0 {
		return fmt.Errorf("schema %s: unknown option %q: it has none", name, key)
	}
	var keys []string
	for _, c := range choices {
		keys = append(keys, c.key)
	}
	return fmt.Errorf("schema %s: unknown option %q: there are %s", name, key, strings.Join(keys, ", "))
}

// options is the parsed form of schemas' options. Each schema looks at its own; what has not been chosen is at its default.
type options struct {
	dropRaw     bool
	keepRaw     bool   // of schemas that drop it by themselves
	interrupted string // event.outcome of an interrupted sign-in
	elastic     bool   // ecs, profile elastic
	graphCase   bool   // envelope, case graph
}

// parseOptions reads the canonical form that Schema gives. It runs once per record and does not allocate.
func parseOptions(s string) (options, error) {
	o := options{interrupted: "unknown"}
	if s == "" {
		return o, nil
	}
	for option := range strings.SplitSeq(s, ",") {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "raw":
			o.dropRaw, o.keepRaw = value == "drop", value == "keep"
		case "interrupted_outcome":
			o.interrupted = value
		case "profile": // which stands behind interrupted_outcome
			if o.elastic = value == "elastic"; o.elastic && !strings.Contains(s, "interrupted_outcome=") {
				o.interrupted = "failure"
			}
		case "case":
			o.graphCase = value == "graph"
		default:
			return o, fmt.Errorf("unknown option %q in schema options %q: use Normalizer.Schema to make them", key, s)
		}
	}
	return o, nil
}
