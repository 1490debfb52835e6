// Package config reads logferry's configuration: strict YAML, all faults at once, each with its place and the way out.
package config

import (
	"fmt"
	"maps"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/route"
	"github.com/logferry/logferry/pkg/sink/collector"
	"github.com/logferry/logferry/pkg/sink/elastic"
	"github.com/logferry/logferry/pkg/sink/file"
	"github.com/logferry/logferry/pkg/sink/kafka"
	"github.com/logferry/logferry/pkg/sink/splunk"
	"github.com/logferry/logferry/pkg/sink/syslog"
	"github.com/logferry/logferry/pkg/timeline"
)

// Config is the whole file.
type Config struct {
	State   State    `yaml:"state,omitempty"`
	Sources []Source `yaml:"sources"`
	Sinks   []Sink   `yaml:"sinks"`
	Admin   Admin    `yaml:"admin,omitempty"`
	Log     Log      `yaml:"log,omitempty"`
}

// State says where the state file lives.
type State struct {
	Dir             string         `yaml:"dir,omitempty"`               // default ./state
	JournalMaxBytes field.Size     `yaml:"journal_max_bytes,omitempty"` // default 8GiB
	ShutdownGrace   field.Duration `yaml:"shutdown_grace,omitempty"`    // for the sinks at the end; default 20s

	DeadLettersMaxBytes field.Size `yaml:"dead_letters_max_bytes,omitempty"` // of each sink; default 1GiB
}

// Source is one tenant read with one app registration.
type Source struct {
	Name  string `yaml:"name"`
	Entra *Entra `yaml:"entra"`
}

// Entra is the entra block: what to ask and whom, and when.
type Entra struct {
	Graph entra.Config    `yaml:",inline"`
	Time  timeline.Config `yaml:",inline"`
}

// Sink is one receiver: exactly one of the blocks below schema and streams.
type Sink struct {
	Name     string          `yaml:"name"`
	Schema   Schema          `yaml:"schema,omitempty"`    // default envelope for splunk, else ecs
	Streams  []string        `yaml:"streams,omitempty"`   // patterns; default all
	Route    route.Config    `yaml:",inline"`             // which records of them, and what of each
	WhenFull string          `yaml:"when_full,omitempty"` // of the journal: wait (default) | skip_oldest
	Paused   bool            `yaml:"paused,omitempty"`
	Was      string          `yaml:"was,omitempty"` // the name that it had before
	Splunk   *splunk.Config  `yaml:"splunk,omitempty"`
	Kafka    *kafka.Config   `yaml:"kafka,omitempty"`
	Syslog   *syslog.Config  `yaml:"syslog,omitempty"`
	Elastic  *elastic.Config `yaml:"elastic,omitempty"`
	File     *file.Config    `yaml:"file,omitempty"`
	Stdout   *file.Stdout    `yaml:"stdout,omitempty"` // has no settings: {}

	HTTP *collector.Config `yaml:"http,omitempty"`
}

// Schema is a schema's name with its options, written as a name alone or as {name: ecs, option: value}.
type Schema struct {
	Name    string
	Options map[string]string
}

// Admin is the endpoint for probes and metrics.
type Admin struct {
	Listen string `yaml:"listen,omitempty"` // default 127.0.0.1:9797; "off" switches it off
}

// Log says how logferry speaks of itself, on stderr.
type Log struct {
	Level  string `yaml:"level,omitempty"`  // debug | info | warn | error
	Format string `yaml:"format,omitempty"` // json | console
}

// Default is what is meant by leaving out.
func Default() Config {
	return Config{
		State: State{Dir: "./state", JournalMaxBytes: 8 << 30, DeadLettersMaxBytes: 1 << 30, ShutdownGrace: field.Duration(20 * time.Second)},
		Admin: Admin{Listen: "127.0.0.1:9797"},
		Log:   Log{Level: "info", Format: "json"},
	}
}

// SetDefaults prepares the block before its keys are read.
func (e *Entra) SetDefaults() { e.Time = timeline.Default() }

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// Schemas checks a schema's name and options; the normalizer knows them.
type Schemas interface {
	Schema(name string, options map[string]string) (event.Schema, error)
}

// Validate gives everything that is wrong with the content, as *field.Error with the path from the top. It reads no secret.
func (c *Config) Validate(schemas Schemas) []error {
	var faults []error
	bad := func(at, format string, args ...any) { faults = append(faults, field.Errorf(at, format, args...)) }
	if c.State.Dir == "" {
		bad("state.dir", "missing: name the folder of the state file")
	}
	if c.State.JournalMaxBytes < 16<<20 {
		bad("state.journal_max_bytes", "%s is too small: 16MiB or more, 8GiB is usual", c.State.JournalMaxBytes)
	}
	if c.State.DeadLettersMaxBytes < 1<<20 {
		bad("state.dead_letters_max_bytes", "%s is too small: 1MiB or more, 1GiB is usual", c.State.DeadLettersMaxBytes)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		bad("log.level", "%q is unknown: debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "json" && c.Log.Format != "console" {
		bad("log.format", "%q is unknown: json or console", c.Log.Format)
	}
	if !validListen(c.Admin.Listen) {
		bad("admin.listen", "%q is no address: write host:port, such as 127.0.0.1:9797, or off", c.Admin.Listen)
	}
	if len(c.Sources) == 0 {
		bad("sources", "missing: name one tenant at least")
	}
	if len(c.Sinks) == 0 {
		bad("sinks", "missing: name one receiver at least")
	}
	seen := map[string]bool{}
	for i, s := range c.Sources {
		at := fmt.Sprintf("sources[%d]", i)
		faults = append(faults, checkName(at, s.Name, seen)...)
		faults = append(faults, flatten(field.In(at, s.validate()))...)
	}
	faults = append(faults, c.checkOverlaps()...)
	seen = map[string]bool{}
	for i, s := range c.Sinks {
		at := fmt.Sprintf("sinks[%d]", i)
		faults = append(faults, checkName(at, s.Name, seen)...)
		for _, err := range s.validate(schemas) {
			faults = append(faults, flatten(field.In(at, err))...)
		}
	}
	return faults
}

// validListen tells whether something can be listened at; port 0 is any that is free.
func validListen(listen string) bool {
	_, port, err := net.SplitHostPort(listen)
	_, bad := strconv.ParseUint(port, 10, 16)
	return listen == "" || listen == "off" || err == nil && bad == nil
}

// checkOverlaps refuses two sources that would read the same stream: each record would have two cursors, and its repeats none.
func (c *Config) checkOverlaps() []error {
	var faults []error
	readers := map[string]string{} // cloud, tenant and stream -> source
	for i, s := range c.Sources {
		if s.Entra == nil {
			continue
		}
		g := s.Entra.Graph
		names, err := g.StreamNames()
		if err != nil {
			continue // reported with the source
		}
		for _, name := range names {
			key := strings.Join([]string{g.Cloud, g.GraphURL, strings.ToLower(g.Tenant), name}, " ")
			if other, taken := readers[key]; taken {
				faults = append(faults, field.Errorf(fmt.Sprintf("sources[%d].entra.tenant", i), "source %s reads %s of this tenant already: a stream is read by one source", other, name))
				break
			}
			readers[key] = s.Name
		}
	}
	return faults
}

func checkName(at, name string, seen map[string]bool) []error {
	switch {
	case name == "":
		return []error{field.Errorf(at+".name", "missing: give it a short name; the state file and the metrics use it")}
	case !namePattern.MatchString(name):
		return []error{field.Errorf(at+".name", "%q cannot be used: letters, digits, - and _, at most 63, a letter or digit first", name)}
	case seen[name]:
		return []error{field.Errorf(at+".name", "%q is used twice: every name must be its own", name)}
	}
	seen[name] = true
	return nil
}

func (s Source) validate() error {
	if s.Entra == nil {
		return field.Errorf("entra", "missing: the block that says which tenant to read")
	}
	var faults []error
	faults = append(faults, flatten(s.Entra.Graph.Validate())...)
	faults = append(faults, s.Entra.Time.Validate()...)
	return field.In("entra", join(faults))
}

// Block gives the name of the sink's block, such as "splunk"; "" when it has none or several.
func (s Sink) Block() string {
	if blocks := s.blocks(); len(blocks) == 1 {
		return blocks[0]
	}
	return ""
}

func (s Sink) blocks() []string {
	var names []string
	for _, b := range []struct {
		name string
		set  bool
	}{{"splunk", s.Splunk != nil}, {"kafka", s.Kafka != nil}, {"syslog", s.Syslog != nil}, {"elastic", s.Elastic != nil}, {"http", s.HTTP != nil}, {"file", s.File != nil}, {"stdout", s.Stdout != nil}} {
		if b.set {
			names = append(names, b.name)
		}
	}
	return names
}

func (s Sink) validate(schemas Schemas) []error {
	var faults []error
	switch blocks := s.blocks(); len(blocks) {
	case 0:
		faults = append(faults, field.Errorf("", "says not where to send: add one of splunk, kafka, syslog, elastic, http, file, stdout"))
	case 1:
	default:
		faults = append(faults, field.Errorf("", "has %s: exactly one receiver each, make them sinks of their own", strings.Join(blocks, " and ")))
	}
	if s.Splunk != nil {
		faults = append(faults, field.In("splunk", s.Splunk.Validate()))
	}
	if s.Kafka != nil {
		faults = append(faults, field.In("kafka", s.Kafka.Validate()))
	}
	if s.Syslog != nil {
		faults = append(faults, field.In("syslog", s.Syslog.Validate()))
	}
	if s.Elastic != nil {
		faults = append(faults, field.In("elastic", s.Elastic.Validate()))
	}
	if s.HTTP != nil {
		faults = append(faults, field.In("http", s.HTTP.Validate()))
	}
	if s.File != nil {
		faults = append(faults, field.In("file", s.File.Validate()))
	}
	if s.WhenFull != "" && s.WhenFull != "wait" && s.WhenFull != skipOldest {
		faults = append(faults, field.Errorf("when_full", "%q is unknown: wait (fetching waits, nothing is lost) or skip_oldest (this sink loses its oldest records)", s.WhenFull))
	}
	if s.Was != "" && !namePattern.MatchString(s.Was) {
		faults = append(faults, field.Errorf("was", "%q cannot be a sink's name", s.Was))
	}
	if wrong := s.schemaFaults(schemas); len(wrong) > 0 {
		faults = append(faults, wrong...)
	} else if s.Elastic != nil {
		faults = append(faults, field.In("schema", s.Elastic.CheckSchema(s.SchemaName())))
	}
	for i, p := range s.Streams {
		if names, err := entra.Streams([]string{p}); err != nil || len(names) == 0 {
			faults = append(faults, field.Errorf(fmt.Sprintf("streams[%d]", i), "%q matches no stream: write names such as audits, or patterns such as signins.*", p))
		}
	}
	return append(faults, s.Route.Validate(s.taken))
}

// schemaFaults puts each faulty option to its own place: tried alone, it tells its own fault only.
func (s Sink) schemaFaults(schemas Schemas) (faults []error) {
	name := s.SchemaName()
	if _, err := schemas.Schema(name, nil); err != nil {
		return []error{field.Errorf("schema", "%v", err)}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Schema.Options)) {
		if _, err := schemas.Schema(name, map[string]string{key: s.Schema.Options[key]}); err != nil {
			faults = append(faults, field.Errorf("schema."+key, "%v", err))
		}
	}
	return faults
}

// taken gives the streams that a pattern matches and that the sink takes.
func (s Sink) taken(pattern string) []string {
	names, err := entra.Streams([]string{pattern})
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(names, func(name string) bool { return !s.Wants(name) })
}

const skipOldest = "skip_oldest"

// SkipsOldest tells whether the sink gives up its oldest records when the journal is full, where others make fetching wait.
func (s Sink) SkipsOldest() bool { return s.WhenFull == skipOldest }

// SchemaName is the schema's name, the default included: what most detection rules of the sink's product are written against.
func (s Sink) SchemaName() string {
	switch {
	case s.Schema.Name != "":
		return s.Schema.Name
	case s.Splunk != nil:
		return "envelope"
	}
	return "ecs"
}

// Wants tells whether the sink takes the stream.
func (s Sink) Wants(stream string) bool {
	if len(s.Streams) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Streams, func(p string) bool {
		ok, err := path.Match(p, stream)
		return ok && err == nil
	})
}
