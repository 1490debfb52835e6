package normalizer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/event"
)

// The schemas that there are.
const (
	schemaECS = "ecs" // Elastic Common Schema 9.4 with the record under "entra"
	schemaRaw = "raw" // the record as Microsoft sent it, so that vendors' add-ons parse it
)

// choice is an option of a schema: the values it takes, the default first.
type choice struct {
	key    string
	values []string
}

func schemaChoices(name string) ([]choice, error) {
	switch name {
	case schemaECS:
		return []choice{
			{"interrupted_outcome", []string{"unknown", "failure", "success"}},
			{"raw", []string{"keep", "drop"}},
		}, nil
	case schemaRaw:
		return nil, nil
	}
	return nil, unknownSchema(name)
}

func unknownSchema(name string) error {
	return fmt.Errorf("unknown schema %q: there are %s and %s", name, schemaECS, schemaRaw)
}

// Schema checks a schema's name and options and gives its canonical form. Options of ecs:
//
//	raw=keep|drop                                 with or without the record itself under "entra"
//	interrupted_outcome=unknown|failure|success   event.outcome of a sign-in that waits for the user (MFA asked, consent, ..)
//
// The first value is the default; an option at its default is left out of the canonical form, so that lanes which render
// alike compare equal. The error names what there is.
func (n *Normalizer) Schema(name string, options map[string]string) (event.Schema, error) {
	choices, err := schemaChoices(name)
	if err != nil {
		return event.Schema{}, err
	}
	var canonical []string
	for _, key := range slices.Sorted(maps.Keys(options)) {
		i := slices.IndexFunc(choices, func(c choice) bool { return c.key == key })
		if i < 0 {
			return event.Schema{}, unknownOption(name, key, choices)
		}
		switch values := choices[i].values; slices.Index(values, options[key]) {
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

// ecsOptions is the parsed form of the options of schema ecs.
type ecsOptions struct {
	dropRaw     bool
	interrupted string // event.outcome of an interrupted sign-in
}

// parseECSOptions reads the canonical form that Schema gives. It runs once per record and does not allocate.
func parseECSOptions(s string) (ecsOptions, error) {
	opts := ecsOptions{interrupted: "unknown"}
	if s == "" {
		return opts, nil
	}
	for option := range strings.SplitSeq(s, ",") {
		switch key, value, _ := strings.Cut(option, "="); {
		case key == "raw":
			opts.dropRaw = value == "drop"
		case key == "interrupted_outcome":
			opts.interrupted = value
		default:
			return opts, fmt.Errorf("unknown option %q in schema options %q: use Normalizer.Schema to make them", key, s)
		}
	}
	return opts, nil
}
