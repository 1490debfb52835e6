package elastic

import (
	"fmt"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// target is the name of the data stream or index, as JSON.
type target struct {
	quoted   []byte // nil if it depends on the record
	template event.Template
}

func newTarget(name string) (target, error) {
	t, err := event.ParseTemplate(name)
	if err != nil {
		return target{}, fmt.Errorf("parse name of data stream or index: %w", err)
	}
	if constant, value := t.Constant(); constant {
		return target{quoted: jsonscan.AppendString(nil, value)}, nil
	}
	return target{template: t}, nil
}

// append appends the action and the document of an event, a line each:
//
//	{"create":{"_index":"logs-entra.signins-default","_id":"kPhw4YSuk4--crtxSD5wlw"}}
//	BODY
func (t *target) append(dst []byte, e *event.Event) []byte {
	dst = append(dst, `{"create":{"_index":`...)
	if t.quoted != nil {
		dst = append(dst, t.quoted...)
	} else {
		var buf [128]byte
		dst = jsonscan.AppendString(dst, lower(t.template.Append(buf[:0], &e.Record)))
	}
	dst = append(dst, `,"_id":"`...)
	dst = append(dst, e.EventID[:]...)
	dst = append(dst, `"}}`+"\n"...)
	dst = append(dst, e.Body...)
	return append(dst, '\n')
}

// lower puts a name into lower case, in place: there are no others. Tenants and streams are ASCII.
func lower(name []byte) []byte {
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
	return name
}
