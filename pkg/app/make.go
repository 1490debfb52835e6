package app

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/secure"
)

// made is what was made of a configuration.
type made struct {
	cfg     *config.Config // nil: nothing was
	sources []madeSource
	sinks   []madeSink
}

type madeSource struct {
	cfg    config.Source
	reader reader
	source *pipeline.Source
}

type madeSink struct {
	cfg    config.Sink
	outlet *pipeline.Outlet
}

// config is the configuration that runs.
func (a *App) config() *config.Config { return a.running().cfg }

func (a *App) running() made {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.made
}

// readers are those of the sources.
func (a *App) readers() (all []reader) {
	for _, s := range a.running().sources {
		all = append(all, s.reader)
	}
	return all
}

// make makes the parts of a configuration. Those that are no others than in was are the same: what they know and have under way stays.
// Where something runs already, the secrets of those that are new must be there: who starts a process sees that they are missing, who
// edits a file does not look.
func (a *App) make(cfg *config.Config, was made, resumed bool) (m made, err error) {
	m.cfg = cfg
	defer func() {
		if err != nil {
			a.unmake(m, was)
		}
	}()
	for _, s := range cfg.Sources {
		x := madeSource{cfg: s}
		if old := was.source(s.Name); old != nil && reflect.DeepEqual(old.cfg.Entra.Graph, s.Entra.Graph) {
			x.reader = old.reader
		} else if x.reader, err = a.reader(s, was.cfg != nil, resumed); err != nil {
			return m, fmt.Errorf("source %s: %w", s.Name, err)
		}
		m.sources = append(m.sources, x)
	}
	a.shared.Pace(m.fetchers())
	for i := range m.sources {
		x, old := &m.sources[i], was.source(m.sources[i].cfg.Name)
		if old != nil && old.source.Capacity == capacity(x.reader.fetcher) && reflect.DeepEqual(old.cfg, x.cfg) {
			x.source = old.source
		} else if x.source, err = a.source(x.cfg, x.reader.fetcher); err != nil {
			return m, fmt.Errorf("source %s: %w", x.cfg.Name, err)
		}
	}
	for _, s := range cfg.Sinks {
		if cfg.HasSink(s.Was) {
			s.Was = "" // it is no other's former name
		}
		x := madeSink{cfg: s}
		if old := was.sink(s.Name); old != nil && sameSink(old.cfg, s) && !cfg.HasSink(old.outlet.Was) { // or it would get what is resent to that one
			x.outlet = old.outlet
		} else if x.outlet, err = a.newSink(s, was.cfg != nil); err != nil {
			return m, fmt.Errorf("sink %s: %w", s.Name, err)
		}
		m.sinks = append(m.sinks, x)
	}
	return m, nil
}

func (a *App) reader(s config.Source, secrets, resumed bool) (r reader, err error) {
	if secrets {
		if err := unreadable(reflect.ValueOf(s), ""); err != nil {
			return r, err
		}
	}
	f, err := a.fetcher(s, resumed)
	return reader{s.Entra.Graph, f}, err
}

func (a *App) newSink(s config.Sink, secrets bool) (*pipeline.Outlet, error) {
	if secrets {
		if err := unreadable(reflect.ValueOf(s), ""); err != nil {
			return nil, err
		}
	}
	outlet, err := a.outlet(s, a.mapping)
	return &outlet, err
}

// unmake gives back what was made beside what runs.
func (a *App) unmake(m, was made) {
	for _, s := range m.sinks {
		if !slices.ContainsFunc(was.sinks, func(x madeSink) bool { return x.outlet == s.outlet }) {
			_ = s.outlet.Sink.Close() // it has sent nothing
		}
	}
	if was.cfg != nil {
		a.shared.Pace(was.fetchers())
	}
}

// into has a pipeline begin with what was made.
func (m *made) into(o *pipeline.Options) {
	for _, s := range m.sources {
		o.Sources = append(o.Sources, *s.source)
	}
	for _, s := range m.sinks {
		o.Outlets = append(o.Outlets, *s.outlet)
	}
	for i := range m.sources { // a pipeline knows its parts by their addresses
		m.sources[i].source = &o.Sources[i]
	}
	for i := range m.sinks {
		m.sinks[i].outlet = &o.Outlets[i]
	}
}

func (m *made) source(name string) *madeSource {
	i := slices.IndexFunc(m.sources, func(s madeSource) bool { return s.cfg.Name == name })
	if i < 0 {
		return nil
	}
	return &m.sources[i]
}

func (m *made) sink(name string) *madeSink {
	i := slices.IndexFunc(m.sinks, func(s madeSink) bool { return s.cfg.Name == name })
	if i < 0 {
		return nil
	}
	return &m.sinks[i]
}

func (m *made) fetchers() (all []*entra.Fetcher) {
	for _, s := range m.sources {
		all = append(all, s.reader.fetcher)
	}
	return all
}

// sameSink tells whether two are the same but for the name that they once had.
func sameSink(a, b config.Sink) bool {
	a.Was, b.Was = "", ""
	return reflect.DeepEqual(a, b)
}

// unreadable finds the first file of a secret or certificate in a part of the configuration that cannot be read. What a key whose name
// ends in _file names is one, but for the one that logferry makes by itself.
func unreadable(v reflect.Value, key string) error {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return unreadable(v.Elem(), key)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if err := unreadable(v.Index(i), key); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if !f.IsExported() {
				continue
			}
			if err := unreadable(v.Field(i), name); err != nil {
				return err
			}
		}
	case reflect.String:
		if v.String() == "" || !strings.HasSuffix(key, "_file") || key == "refresh_token_file" {
			return nil
		}
		if _, err := secure.NewSecret(v.String()).Get(); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
