package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/sink/collector"
	"github.com/logferry/logferry/pkg/sink/elastic"
	"github.com/logferry/logferry/pkg/sink/file"
	"github.com/logferry/logferry/pkg/sink/kafka"
	"github.com/logferry/logferry/pkg/sink/splunk"
	"github.com/logferry/logferry/pkg/sink/syslog"
	"github.com/logferry/logferry/pkg/timeline"
)

// configKey is one key of a block, and where it stands in the block's struct.
type configKey struct {
	name  string
	index []int
	typ   reflect.Type
}

// keysOf gives the keys of a struct in its order, those of inlined structs included. The decoder reads by it, and the JSON Schema
// and the reference are made by it, so that none can know a key that another does not.
func keysOf(t reflect.Type) (keys []configKey) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case strings.Contains(options, "inline"):
			for _, k := range keysOf(f.Type) {
				k.index = append([]int{i}, k.index...)
				keys = append(keys, k)
			}
		case name != "" && name != "-":
			keys = append(keys, configKey{name: name, index: []int{i}, typ: f.Type})
		}
	}
	return keys
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// orOne marks lists that one element may stand for, and that say nothing when they are forgotten.
var orOne = reflect.TypeFor[interface{ OrOne() }]()

// readsText tells types that read themselves from a scalar's text.
func readsText(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(textUnmarshaler)
}

// kind is what may stand behind a key.
type kind int

const (
	isText kind = iota
	isFlag
	isNumber
	isSize
	isDuration
	isStart
	isMode
	isSchema
	isBlock
	isList
	isDictionary
)

// typeKind gives the kind of a type that is no pointer.
func typeKind(t reflect.Type) (kind, error) {
	switch t {
	case reflect.TypeFor[Schema]():
		return isSchema, nil
	case reflect.TypeFor[field.Size]():
		return isSize, nil
	case reflect.TypeFor[field.Duration]():
		return isDuration, nil
	case reflect.TypeFor[timeline.Start]():
		return isStart, nil
	case reflect.TypeFor[file.Mode]():
		return isMode, nil
	}
	if readsText(t) {
		return 0, fmt.Errorf("%s reads itself, and there is no pattern for it", t)
	}
	switch t.Kind() {
	case reflect.String:
		return isText, nil
	case reflect.Bool:
		return isFlag, nil
	case reflect.Int, reflect.Int64, reflect.Uint32:
		return isNumber, nil
	case reflect.Struct:
		return isBlock, nil
	case reflect.Slice:
		return isList, nil
	case reflect.Map:
		return isDictionary, nil
	}
	return 0, fmt.Errorf("%s cannot be configured", t)
}

// entry is one key of the configuration with all that is known of it.
type entry struct {
	name, path string // tenant, sources.entra.tenant; elements of lists have the list's
	kind       kind
	typ        reflect.Type
	pointer    bool          // nothing behind the key is an error
	one        bool          // a list for which one element may stand
	early      reflect.Value // what the decoder begins with
	usual      reflect.Value // what leaving out means
	about      about
	below      []*entry // of a block
	element    *entry   // of a list or dictionary
}

// usual has what leaving out means where that is filled in after reading, by type.
func usual() map[reflect.Type]any {
	all := map[reflect.Type]any{}
	for _, d := range []any{
		Entra{Graph: entra.Default(), Time: timeline.Default()}, Sink{WhenFull: "wait"},
		splunk.Default(), kafka.Default(), syslog.Default(), elastic.Default(), collector.Default(), file.Default(),
	} {
		all[reflect.TypeOf(d)] = d
	}
	return all
}

// describe gives the whole configuration as a tree.
func describe() (*entry, error) {
	d := reflect.ValueOf(Default())
	w := walker{usual: usual(), used: map[string]bool{}}
	top, err := w.entry("", "", d.Type(), d, d)
	if err != nil {
		return nil, err
	}
	for path := range abouts {
		if !w.used[path] {
			return nil, fmt.Errorf("the table of keys has %s, which the configuration does not", path)
		}
	}
	return top, nil
}

type walker struct {
	usual map[reflect.Type]any
	used  map[string]bool
}

func (w *walker) entry(name, path string, t reflect.Type, early, usual reflect.Value) (*entry, error) {
	e := &entry{name: name, path: path, typ: t}
	if t.Kind() == reflect.Pointer {
		e.typ, e.pointer = t.Elem(), true
		early, usual = pointed(early), pointed(usual)
	}
	e.early, e.usual = early, usual
	var err error
	if e.kind, err = typeKind(e.typ); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e.one = e.typ.Implements(orOne)
	if path != "" {
		var row string
		if e.about, row = lookUp(path); row == "" {
			return nil, fmt.Errorf("%s: the table of keys lacks it", path)
		}
		w.used[row] = true
	}
	switch e.kind {
	case isBlock:
		err = w.block(e)
	case isList, isDictionary:
		zero := reflect.Zero(e.typ.Elem())
		e.element, err = w.entry("", path, e.typ.Elem(), zero, zero)
	}
	return e, err
}

func (w *walker) block(e *entry) error {
	start := reflect.New(e.typ)
	if p, ok := start.Interface().(interface{ SetDefaults() }); ok {
		p.SetDefaults()
	}
	early, usual := start.Elem(), start.Elem()
	if e.path == "" || !e.pointer && e.early.IsValid() {
		early, usual = e.early, e.usual
	}
	if d, ok := w.usual[e.typ]; ok {
		usual = reflect.ValueOf(d)
	}
	for _, k := range keysOf(e.typ) {
		path := join2(e.path, k.name)
		if about, row := lookUp(path); about.refused {
			w.used[row] = true
			continue
		}
		below, err := w.entry(k.name, path, k.typ, early.FieldByIndex(k.index), usual.FieldByIndex(k.index))
		if err != nil {
			return err
		}
		e.below = append(e.below, below)
	}
	return nil
}

// pointed gives what a pointer leads to; the zero Value for nil.
func pointed(v reflect.Value) reflect.Value {
	if !v.IsValid() || v.IsNil() {
		return reflect.Value{}
	}
	return v.Elem()
}

// hasDefault tells whether leaving the key out means what one could write there as well.
func (e *entry) hasDefault() bool {
	if !e.usual.IsValid() || e.about.required {
		return false
	}
	switch e.kind {
	case isBlock, isSchema, isDictionary:
		return false
	case isFlag:
		return true
	case isList:
		return e.usual.Len() > 0
	}
	return !e.usual.IsZero() || e.pointer
}
