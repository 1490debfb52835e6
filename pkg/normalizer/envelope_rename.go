package normalizer

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/logferry/logferry/pkg/jsonscan"
)

// layout says what the members of an object are called in a schema that carries the record under other names.
type layout struct {
	names names
	rows  []renamed // by index of names
	snake bool      // members without a row are in snake case; else as sent
	below *layout   // of the values of members whose row has none of its own
}

// renamed is a row of a layout.
type renamed struct {
	key   string // with quotes and colon; "": the member is left out
	form  form
	most  int // elements that form map takes
	inner *layout
}

// form is what becomes of a member's value.
type form uint8

const (
	formValue form = iota
	formMap        // a list becomes an object by place
	formPairs      // a list of keys and values becomes an object
)

// mostPairs bounds what formPairs takes: each may become a field of the receiver's index.
const mostPairs = 50

// row gives the row of a member, made if there is none, with the name that the layout's rule gives it.
func (l *layout) row(member string) *renamed {
	if l.names.add(member) {
		name := member
		if l.snake {
			name = string(appendSnake(nil, []byte(member)))
		}
		l.rows = append(l.rows, renamed{key: string(jsonscan.AppendString(nil, name)) + ":"})
	}
	return &l.rows[l.names.find([]byte(member))]
}

// appendSnake appends a name in snake case by the rule of Elastic's integration: an underscore between a small letter and a capital
// one, all in lower case. isMFA is is_mfa, riskEventTypes_v2 is risk_event_types_v2.
func appendSnake(dst, name []byte) []byte {
	small := false
	for _, c := range name {
		if c >= 0x80 { // which no service has sent yet
			return append(dst, slowSnake(name)...)
		}
	}
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			if small {
				dst = append(dst, '_')
			}
			c, small = c+'a'-'A', false
		} else {
			small = c >= 'a' && c <= 'z'
		}
		dst = append(dst, c)
	}
	return dst
}

func slowSnake(name []byte) []byte {
	var out []byte
	for i, c := range name {
		if i > 0 && c >= 'A' && c <= 'Z' && name[i-1] >= 'a' && name[i-1] <= 'z' {
			out = append(out, '_')
		}
		out = append(out, c)
	}
	return bytes.ToLower(out)
}

// absence is which members are left out for what they do not say.
type absence uint8

const (
	outNothing absence = iota
	outNulls
	outBlanks // nulls and ""
)

// rewrite consumes the next value and appends it with the members of its objects renamed. Numbers and texts stay as they are.
func (j *job) rewrite(l *layout, out absence) {
	w := &j.out
	switch j.Kind() {
	case jsonscan.Object:
		w.buf = append(w.buf, '{')
		j.rewriteMembers(l, out)
		w.buf = append(w.buf, '}')
	case jsonscan.Array:
		w.buf = append(w.buf, '[')
		for j.Array(); j.Element(); {
			w.next()
			j.rewrite(l, out)
		}
		w.buf = append(w.buf, ']')
	default:
		w.buf = append(w.buf, j.Value()...)
	}
}

// rewriteMembers does so with the members of the object that comes next, without its brackets.
func (j *job) rewriteMembers(l *layout, out absence) {
	start := j.Pos
	for j.Object(); ; {
		key, ok := j.member()
		if !ok {
			return
		}
		if l.snake && len(key) > 0 && key[0] >= 'A' && key[0] <= 'Z' && j.doubled(key, start) {
			j.Skip()
			continue
		}
		j.rewriteMember(l, key, out)
	}
}

// doubled tells whether the object at start has the member in snake case too, with a value: targets have a type, a Type or both. An
// object that has a name twice is refused by receivers.
func (j *job) doubled(member []byte, start int) bool {
	j.scratch = appendSnake(j.scratch[:0], member)
	r := jsonscan.Reader{Buf: j.Buf, Pos: start}
	for r.Object(); ; {
		key, ok := r.Member()
		if !ok {
			return false
		}
		if bytes.Equal(key, j.scratch) && r.Kind() != jsonscan.Null {
			return true
		}
		r.Skip()
	}
}

// rewriteMember does so with one, of which the name has been consumed.
func (j *job) rewriteMember(l *layout, key []byte, out absence) {
	w := &j.out
	i := l.names.find(key)
	if i != nowhere && l.rows[i].key == "" || j.saysNothing(out) {
		j.Skip()
		return
	}
	w.next()
	if i == nowhere {
		j.appendName(l, key)
		j.rewrite(l.below, out)
		return
	}
	row := &l.rows[i]
	w.buf = append(w.buf, row.key...)
	inner := row.inner
	if inner == nil {
		inner = l.below
	}
	switch {
	case row.form == formMap && j.Kind() == jsonscan.Array:
		j.rewriteList(inner, row.most, out)
	case row.form == formPairs && j.Kind() == jsonscan.Array:
		j.rewritePairs()
	default:
		j.rewrite(inner, out)
	}
}

// saysNothing tells whether what comes next is to be left out.
func (j *job) saysNothing(out absence) bool {
	switch j.Kind() {
	case jsonscan.Null:
		return out >= outNulls
	case jsonscan.String:
		return out == outBlanks && j.Pos+1 < len(j.Buf) && j.Buf[j.Pos+1] == '"'
	}
	return false
}

// appendName appends the name of a member that has no row, with its colon.
func (j *job) appendName(l *layout, plain []byte) {
	w := &j.out
	if l.snake {
		j.scratch = appendSnake(j.scratch[:0], plain)
		plain = j.scratch
	}
	w.buf = append(jsonscan.AppendString(w.buf, plain), ':')
}

// rewriteList consumes a list and appends an object of its first elements by place.
func (j *job) rewriteList(l *layout, most int, out absence) {
	w := &j.out
	w.buf = append(w.buf, '{')
	j.Array()
	for i := 0; j.Element(); i++ {
		if i >= most || j.saysNothing(out) {
			j.Skip()
			continue
		}
		w.next()
		w.buf = append(w.buf, '"')
		w.buf = strconv.AppendInt(w.buf, int64(i), 10)
		w.buf = append(w.buf, '"', ':')
		j.rewrite(l, out)
	}
	w.buf = append(w.buf, '}')
}

// rewritePairs consumes a list of keys and values and appends an object of them. Of keys that stand twice the first counts:
// receivers refuse an object that has one twice.
func (j *job) rewritePairs() {
	w := &j.out
	w.buf = append(w.buf, '{')
	var seen [mostPairs][]byte
	n := 0
	for j.Array(); j.Element(); {
		if !j.object() {
			continue
		}
		var key, value []byte
		for {
			name, ok := j.member()
			if !ok {
				break
			}
			switch string(name) {
			case "key":
				key = j.Text()
			case "value":
				value = j.Value()
			default:
				j.Skip()
			}
		}
		if len(key) == 0 || value == nil || string(value) == "null" || string(value) == `""` || n == len(seen) || hasKey(seen[:n], key) {
			continue
		}
		seen[n] = key
		n++
		w.next()
		w.quoted(key)
		w.buf = append(w.buf, ':')
		w.buf = appendLine(w.buf, value)
	}
	w.buf = append(w.buf, '}')
}

func hasKey(list [][]byte, key []byte) bool {
	for _, k := range list {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// layouts are those of one schema by object, "signin.status".
type layouts map[string]*layout

// in gives the layout of an object, made if there is none. Objects stand in that of the name before the dot.
func (s layouts) in(object string, snake bool, below *layout) *layout {
	if l := s[object]; l != nil {
		return l
	}
	l := &layout{snake: snake, below: below}
	s[object] = l
	if i := strings.LastIndexByte(object, '.'); i >= 0 {
		s.in(object[:i], snake, below).row(object[i+1:]).inner = l
	}
	return l
}

// parseForm reads the column form of data/elastic.csv.
func (r *renamed) parseForm(text string) error {
	name, most, _ := strings.Cut(text, " ")
	switch name {
	case "", "sent":
		return nil
	case "pairs":
		r.form = formPairs
		return nil
	case "map":
		r.form = formMap
		var err error
		r.most, err = strconv.Atoi(most)
		return err
	}
	return fmt.Errorf("no form %q", text)
}
