// Package normalizer turns records of Microsoft Entra ID into events of a schema. It is pure: bytes in, bytes out, no I/O,
// no clock, no state that outlives a call.
//
// One pass over a record's bytes fills one model per family (signIn, audit; core for what has no mapping yet): slices that alias
// the record, numbers, small enums. What only some schemas need stays where it is: the model knows its place, and the writer that
// wants it reads it from there. A writer per schema appends the event. Absence is decided once, while reading: a model holds a text only if it
// says something, so writers need no rules for "", null, "hidden" and the like. Maps that are likely to grow (activities,
// error codes, words, members) are data files under data/.
package normalizer

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// Version is the version of the mapping. It stands in every mapped event (logferry.mapping) and in event.Schema; raise it
// when an existing field gets another meaning or form.
const Version = 2

// errNotObject means that a record is JSON, but not an object.
var errNotObject = errors.New("not a JSON object")

// Normalizer maps records. It is safe for concurrent use.
type Normalizer struct {
	unknown *unknowns
	jobs    sync.Pool // *job
}

// New loads the mapping tables that are built in. An error means a broken build.
func New() (*Normalizer, error) { return NewWith(Options{}) }

// NewWith is New with options.
func NewWith(o Options) (*Normalizer, error) {
	t, err := loadTables()
	if err != nil {
		return nil, fmt.Errorf("load mapping tables: %w", err)
	}
	n := &Normalizer{unknown: &unknowns{tell: o.Unknown, all: map[string]map[string]*uint64{}}}
	n.jobs.New = func() any { return newJob(t, n.unknown) }
	return n, nil
}

// Normalize appends rec, rendered in schema, to dst: one JSON object on one line. An error means that this record alone
// cannot be rendered (it is not a JSON object); dst then comes back as it was given. Members of an unexpected type count as
// absent and are no error.
func (n *Normalizer) Normalize(dst []byte, rec event.Record, schema event.Schema) ([]byte, error) {
	j := n.jobs.Get().(*job)
	j.rec = rec // passed on by address: on its own it would be allocated
	out, err := j.render(dst, &j.rec, schema)
	j.reset()
	n.jobs.Put(j)
	if err != nil {
		return dst, fmt.Errorf("map record %q of stream %s to %s: %w", rec.ID, rec.Key.Stream, schema.Name, err)
	}
	return out, nil
}

// job is what one call of Normalize needs. Jobs are reused, so that a record costs no allocation.
type job struct {
	scanner
	tables  *tables
	unknown sightings
	rec     event.Record
	out     writer
	family  family // whose model was filled
	signIn  signIn
	audit   audit
	core    core
	related related
	attrs   []text // names of modified properties
	facts   Facts
	readAt  stamp
	tenant  phrase
	ocsf    ocsfScratch
}

func newJob(t *tables, u *unknowns) *job { return &job{tables: t, unknown: sightings{unknowns: u}} }

// mostArena bounds what a job keeps for the next record, in bytes. A job that met a monster gives the memory back.
const mostArena = 64 << 10

// reset forgets the record: a job in the pool must not keep a batch's memory alive. The models are large, and one of them was used.
func (j *job) reset() {
	j.scanner.reset()
	j.unknown.stream, j.rec = "", event.Record{}
	j.out.buf, j.out.depth = nil, 0
	switch j.family {
	case familySignIns:
		j.signIn = signIn{}
	case familyAudits:
		j.audit.reset()
	default:
		j.core = core{}
	}
	j.related.reset()
	clear(j.attrs)
	j.attrs = j.attrs[:0]
	j.ocsf.reset()
}

// render appends the record in the schema's form. What it returns with an error is of no use.
func (j *job) render(dst []byte, rec *event.Record, schema event.Schema) ([]byte, error) {
	for i := range schemas {
		s := &schemas[i]
		if s.name != schema.Name {
			continue
		}
		o, err := parseOptions(schema.Options)
		if err != nil {
			return dst, err
		}
		j.begin(rec)
		j.out.buf = dst
		err = s.render(j, rec, o)
		return j.out.buf, err
	}
	return dst, unknownSchema(schema.Name)
}

// begin puts the reader in front of the record.
func (j *job) begin(rec *event.Record) {
	j.Reader, j.record = jsonscan.Reader{Buf: rec.Raw}, rec.Raw
	j.unknown.stream, j.unknown.over = rec.Key.Stream, false
}

// family is what kind of model a record has.
type family uint8

const (
	familyOther   family = iota // core
	familySignIns               // signIn
	familyAudits                // audit; attributes have the members of audits
)

// read fills the model of the record's family. An error says that the record is no JSON object.
func (j *job) read(rec *event.Record) (f family, err error) {
	switch rec.Key.Family() {
	case "signins":
		j.family = familySignIns
		err = j.readSignIn(rec.Key.Stream)
	case "audits", "attributes":
		j.family = familyAudits
		err = j.readAudit()
	default:
		j.family = familyOther
		err = j.readCore()
	}
	j.unknown.over = true
	return j.family, err
}

// renderRaw is the writer of schema raw.
func (j *job) renderRaw(*event.Record, options) error {
	if err := j.skipObject(); err != nil {
		return err
	}
	j.out.buf = j.appendRecord(j.out.buf)
	return nil
}

// renderECS is the writer of schema ecs.
func (j *job) renderECS(rec *event.Record, o options) error {
	family, err := j.read(rec)
	if err != nil {
		return err
	}
	switch family {
	case familySignIns:
		j.ecsSignIn(rec, o)
	case familyAudits:
		j.ecsAudit(rec, o)
	default:
		j.ecsCore(rec, o)
	}
	return nil
}

// appendLine appends a JSON text as it came, but on one line: sinks that separate events by line ends rely on it. Within
// JSON a bare line end can only stand between tokens, so that a blank there changes nothing. (The service sends none;
// recorded pages may.)
func appendLine(dst, raw []byte) []byte {
	start := len(dst)
	dst = append(dst, bytes.Trim(raw, " \t\r\n")...)
	joinLines(dst[start:])
	return dst
}

// joinLines puts blanks for line ends.
func joinLines(b []byte) {
	for _, end := range []byte{'\n', '\r'} {
		for rest := b; ; {
			i := bytes.IndexByte(rest, end)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
}
