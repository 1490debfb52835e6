// Package normalizer turns records of Microsoft Entra ID into events of a schema. It is pure: bytes in, bytes out, no I/O,
// no clock, no state that outlives a call.
//
// One pass over a record's bytes fills one model per family (signIn, audit; core for what has no mapping yet): slices that alias the record, numbers, small
// enums. A writer per schema appends the event. Absence is decided once, while reading: a model holds a text only if it
// says something, so writers need no rules for "", null, "hidden" and the like. Maps that are likely to grow (activities,
// error codes, words) are data files under data/.
package normalizer

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/logferry/logferry/pkg/event"
)

// Version is the version of the mapping. It stands in every mapped event (logferry.mapping) and in event.Schema; raise it
// when an existing field gets another meaning or form.
const Version = 1

// errNotObject means that a record is JSON, but not an object.
var errNotObject = errors.New("not a JSON object")

// Normalizer maps records. It is safe for concurrent use.
type Normalizer struct {
	tables *tables
	jobs   sync.Pool // *job
}

// New loads the mapping tables that are built in. An error means a broken build.
func New() (*Normalizer, error) {
	t, err := loadTables()
	if err != nil {
		return nil, fmt.Errorf("load mapping tables: %w", err)
	}
	return &Normalizer{tables: t, jobs: sync.Pool{New: func() any { return new(job) }}}, nil
}

// Normalize appends rec, rendered in schema, to dst: one JSON object on one line. An error means that this record alone
// cannot be rendered (it is not a JSON object); dst then comes back as it was given. Members of an unexpected type count as
// absent and are no error.
func (n *Normalizer) Normalize(dst []byte, rec event.Record, schema event.Schema) ([]byte, error) {
	j := n.jobs.Get().(*job)
	out, err := j.render(dst, &rec, schema, n.tables)
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
	out     writer
	signIn  signIn
	audit   audit
	core    core
	related related
	facts   Facts
}

// mostArena bounds what a job keeps for the next record, in bytes. A job that met a monster gives the memory back.
const mostArena = 64 << 10

// reset forgets the record: a job in the pool must not keep a batch's memory alive.
func (j *job) reset() {
	j.scanner.reset()
	j.out = writer{}
	j.signIn = signIn{}
	j.audit.reset()
	j.core = core{}
	j.related.reset()
	j.facts.reset()
}

func (j *job) render(dst []byte, rec *event.Record, schema event.Schema, t *tables) ([]byte, error) {
	j.Buf = rec.Raw
	switch schema.Name {
	case schemaRaw:
		if err := j.skipObject(); err != nil {
			return dst, err
		}
		return appendLine(dst, rec.Raw), nil
	case schemaECS:
		opts, err := parseECSOptions(schema.Options)
		if err != nil {
			return dst, err
		}
		return j.renderECS(dst, rec, opts, t)
	}
	return dst, unknownSchema(schema.Name)
}

func (j *job) renderECS(dst []byte, rec *event.Record, opts ecsOptions, t *tables) ([]byte, error) {
	switch rec.Key.Family() {
	case "signins":
		if err := j.readSignIn(rec.Key.Stream, t); err != nil {
			return dst, err
		}
		j.out.buf = dst
		j.ecsSignIn(rec, opts)
	case "audits", "attributes": // attributes have the members of audits
		if err := j.readAudit(t); err != nil {
			return dst, err
		}
		j.out.buf = dst
		j.ecsAudit(rec, opts)
	default:
		if err := j.readCore(); err != nil {
			return dst, err
		}
		j.out.buf = dst
		j.ecsCore(rec, opts)
	}
	return j.out.buf, nil
}

// appendLine appends a JSON text as it came, but on one line: sinks that separate events by line ends rely on it. Within
// JSON a bare line end can only stand between tokens, so that a blank there changes nothing. (The service sends none;
// recorded pages may.)
func appendLine(dst, raw []byte) []byte {
	start := len(dst)
	dst = append(dst, bytes.Trim(raw, " \t\r\n")...)
	for _, end := range []byte{'\n', '\r'} {
		for rest := dst[start:]; ; {
			i := bytes.IndexByte(rest, end)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
	return dst
}
