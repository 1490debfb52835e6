package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const referenceHead = `# yaml-language-server: $schema=logferry.schema.json
# Every key that there is, with its default and what it means. A key behind # is off: it has no single default, or it excludes one that is
# on; what stands there is an example. Values of keys that are marked "required" are examples, too.
#
# Sizes are 512MiB or 8GiB (powers of 1024) or 500MB (powers of 1000), durations 90s, 15m, 2h, 7d or a sum such as 1d12h. In every value
# ${env:NAME} stands for a variable of the environment, ${env:NAME:-default} for one that need not be set. Secrets are files.
# More: docs/configuration.md. This file is made by: logferry schema --yaml. Editors check it by the first line, when what
# logferry schema prints lies beside it as logferry.schema.json.
`

// Reference gives a configuration with every key: those with a default, and what a source and a sink cannot do without, are on.
func Reference(schemas SchemaOptions) ([]byte, error) {
	top, err := describe()
	if err != nil {
		return nil, fmt.Errorf("describe the configuration: %w", err)
	}
	w := referenceWriter{schemas: schemas}
	for _, e := range top.below {
		w.heading(0, e.about.title())
		w.put(refLine{off: on, text: e.name + ":"})
		switch {
		case e.name == "sinks":
			w.sinks(e.element)
		case e.kind == isList:
			w.item(e.element.below, 4)
		default:
			w.entries(e.below, 2, on)
		}
	}
	return []byte(referenceHead + w.String()), nil
}

// on is the off of lines that are not.
const on = -1

// refLine is one line of the reference.
type refLine struct {
	indent  int    // blanks before the key
	dash    bool   // the key is the first of a list's element
	off     int    // where the # stands, or on
	text    string // key: value
	comment string
}

type referenceWriter struct {
	strings.Builder
	schemas SchemaOptions
	dash    bool // the next line begins an element
}

// commentColumn is where comments begin, unless the line is longer.
const commentColumn = 56

func (w *referenceWriter) put(l refLine) {
	lead := strings.Repeat(" ", l.indent)
	if l.dash || w.dash {
		lead = lead[2:] + "- "
		w.dash = false
	}
	if l.off != on {
		lead = lead[:l.off] + "# " + lead[l.off:]
	}
	text := lead + l.text
	if l.comment != "" {
		text = fmt.Sprintf("%-*s # %s", commentColumn, text, l.comment)
	}
	w.WriteString(text + "\n")
}

// heading separates the large blocks.
func (w *referenceWriter) heading(indent int, text string) {
	fmt.Fprintf(w, "\n%s# %s\n", strings.Repeat(" ", indent), text)
}

// title is what a key means as a sentence.
func (a about) title() string { return strings.ToUpper(a.doc[:1]) + a.doc[1:] + "." }

// item writes the keys of one element of a list.
func (w *referenceWriter) item(keys []*entry, indent int) {
	w.dash = true
	w.entries(keys, indent, on)
}

// sinks writes one for each receiver. What all have in common stands in the first.
func (w *referenceWriter) sinks(sink *entry) {
	receivers := choices["sinks"][0].keys
	for i, name := range receivers {
		at := slices.IndexFunc(sink.below, func(e *entry) bool { return e.name == name })
		w.heading(2, sink.below[at].about.title())
		for _, e := range sink.below {
			switch {
			case e.name == "name":
				w.dash = true
				w.put(refLine{indent: 4, off: on, text: "name: " + name, comment: "required: " + e.about.doc})
			case e.name == name && e.about.example != "":
				w.put(refLine{indent: 4, off: on, text: name + ": " + e.about.example})
			case e.name == name:
				w.put(refLine{indent: 4, off: on, text: name + ":"})
				w.entries(e.below, 6, on)
			case i == 0 && !slices.Contains(receivers, e.name):
				w.entry(e, 4, on)
			}
		}
	}
}

func (w *referenceWriter) entries(all []*entry, indent, off int) {
	for _, e := range all {
		w.entry(e, indent, off)
	}
}

func (w *referenceWriter) entry(e *entry, indent, off int) {
	if off == on && !e.on() {
		off = indent
	}
	l := refLine{indent: indent, off: off, text: e.name + ":", comment: e.comment()}
	switch {
	case e.kind == isSchema:
		w.put(refLine{indent: indent, off: off, text: e.name + ": " + e.about.example, comment: l.comment})
		w.schema(indent, off)
	case e.kind == isBlock && e.about.example == "":
		w.put(l)
		w.entries(e.below, indent+2, off)
	case e.kind == isList && e.element.kind == isBlock: // one key in each element, since some exclude each other
		w.put(l)
		for _, key := range e.element.below {
			w.dash = true
			w.entry(key, indent+4, off)
		}
	default:
		l.text += " " + e.written()
		w.put(l)
	}
}

// schema writes a line for each schema with all its options.
func (w *referenceWriter) schema(indent, off int) {
	for _, name := range slices.Sorted(maps.Keys(w.schemas)) {
		text, comment := "schema: {name: "+name, ""
		for _, option := range slices.Sorted(maps.Keys(w.schemas[name])) {
			values := w.schemas[name][option]
			text += ", " + option + ": " + values[0]
			comment += "; " + option + ": " + strings.Join(values, " | ")
		}
		w.put(refLine{indent: indent, off: off, text: text + "}", comment: strings.TrimPrefix(comment, "; ")})
	}
}

// on tells whether the reference has the key switched on.
func (e *entry) on() bool {
	if e.kind == isBlock {
		return e.about.shown || !e.pointer && slices.ContainsFunc(e.below, (*entry).on) || e.about.required
	}
	return e.about.shown || e.about.required || e.hasDefault()
}

// comment is what the key means, on one line.
func (e *entry) comment() string {
	text := e.about.doc
	switch values := e.about.values; {
	case e.about.required:
		text = "required: " + text
	case len(values) > 8:
		text = strings.Join(values[:3], " | ") + " .. " + values[len(values)-1] + ": " + text
	case len(values) > 1:
		text = strings.Join(values, " | ") + ": " + text
	}
	return text
}

// written is the default, or else the example, as YAML.
func (e *entry) written() string {
	if !e.hasDefault() {
		return e.about.example
	}
	switch v := e.json().(type) {
	case []string:
		for i := range v {
			v[i] = quoted(v[i])
		}
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		return quoted(v)
	default:
		return fmt.Sprint(v)
	}
}

func quoted(s string) string {
	if strings.ContainsAny(s, "{}[]*") {
		return `"` + s + `"`
	}
	return s
}
