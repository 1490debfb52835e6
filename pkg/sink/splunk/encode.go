package splunk

import (
	"fmt"
	"strconv"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// encoder writes envelopes. It holds no state of its own: one serves many Sends at once.
type encoder struct {
	schema     string
	text       bool // the schema is textual: bodies go as JSON strings
	host       *name
	source     *name
	sourcetype *name // nil: by schema and stream
	index      *name // nil: the token's own
}

// name is a template whose constant form is quoted once.
type name struct {
	quoted   []byte
	template event.Template
}

func newName(s string) (name, error) {
	t, err := event.ParseTemplate(s)
	if err != nil {
		return name{}, err
	}
	if constant, value := t.Constant(); constant {
		return name{quoted: jsonscan.AppendString(nil, value)}, nil
	}
	return name{template: t}, nil
}

func (n *name) append(dst []byte, r *event.Record) []byte {
	if n.quoted != nil {
		return append(dst, n.quoted...)
	}
	var buf [128]byte
	return jsonscan.AppendString(dst, n.template.Append(buf[:0], r))
}

// newEncoder takes a configuration with its defaults.
func newEncoder(cfg Config, schema event.Schema) (*encoder, error) {
	e := &encoder{schema: schema.Name, text: schema.Name == "cef" || schema.Name == "leef"}
	for _, n := range []struct {
		path, value string
		to          **name
	}{
		{"host", cfg.Host, &e.host},
		{"source", cfg.Source, &e.source},
		{"sourcetype", cfg.Sourcetype, &e.sourcetype},
		{"index", cfg.Index, &e.index},
	} {
		if n.value == "" {
			continue
		}
		parsed, err := newName(n.value)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", n.path, err)
		}
		*n.to = &parsed
	}
	return e, nil
}

// oneIndex tells whether all events go to the same index.
func (e *encoder) oneIndex() bool { return e.index == nil || e.index.quoted != nil }

// appendIndex writes the index's name. Those of Splunk have small letters, digits, - and _ alone: what placeholders bring beyond
// that, such as the dots of streams, becomes _.
func (e *encoder) appendIndex(dst []byte, r *event.Record) []byte {
	if e.index.quoted != nil {
		return append(dst, e.index.quoted...)
	}
	dst = append(dst, '"')
	at := len(dst)
	dst = e.index.template.Append(dst, r)
	for i, c := range dst[at:] {
		switch {
		case 'A' <= c && c <= 'Z':
			dst[at+i] = c + 'a' - 'A'
		case c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z'):
			dst[at+i] = '_'
		}
	}
	return append(dst, '"')
}

// append appends the envelope of ev and a line end:
//
//	{"time":1732242000.123,"host":"..","source":"..","sourcetype":"..","index":"..","event":BODY,"fields":{"event_id":"..","stream":".."}}
//
// The body goes as it is, in quotes if the schema is textual.
func (e *encoder) append(dst []byte, ev *event.Event) []byte {
	dst = append(dst, '{')
	if t := ev.Time; t.Unix() > 0 { // without a time Splunk takes that of arrival
		dst = append(dst, `"time":`...)
		dst = appendTime(dst, t)
		dst = append(dst, ',')
	}
	dst = append(dst, `"host":`...)
	dst = e.host.append(dst, &ev.Record)
	dst = append(dst, `,"source":`...)
	dst = e.source.append(dst, &ev.Record)
	dst = append(dst, `,"sourcetype":`...)
	if e.sourcetype != nil {
		dst = e.sourcetype.append(dst, &ev.Record)
	} else {
		dst = jsonscan.AppendString(dst, defaultSourcetype(e.schema, ev.Key.Stream, ev.Key.Family()))
	}
	if e.index != nil {
		dst = append(dst, `,"index":`...)
		dst = e.appendIndex(dst, &ev.Record)
	}
	dst = append(dst, `,"event":`...)
	if e.text {
		dst = jsonscan.AppendString(dst, ev.Body)
	} else {
		dst = append(dst, ev.Body...)
	}
	dst = append(dst, `,"fields":{"event_id":"`...)
	dst = append(dst, ev.EventID[:]...)
	dst = append(dst, `","stream":`...)
	dst = jsonscan.AppendString(dst, ev.Key.Stream)
	return append(dst, "}}\n"...)
}

// appendTime writes epoch seconds with three digits of fraction, six if the time is finer. Never by way of float64, which does
// not hold today's microseconds exactly.
func appendTime(dst []byte, t time.Time) []byte {
	micro, digits := int64(t.Nanosecond()/1000), 6
	if micro%1000 == 0 {
		micro, digits = micro/1000, 3
	}
	dst = strconv.AppendInt(dst, t.Unix(), 10)
	dst = append(dst, '.')
	at := len(dst)
	dst = append(dst, "000000"[:digits]...)
	for i := at + digits - 1; micro > 0; i-- {
		dst[i] = byte('0' + micro%10)
		micro /= 10
	}
	return dst
}
