package entra

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// splitter takes pages apart. It belongs to one reader at a time and keeps its memory from page to page.
type splitter struct {
	digester
	timeMember string
	volatile   []string
	template   event.Record // what all records of the page have in common; Time is for those without one
	records    []event.Record
	next       string // @odata.nextLink of the page; "" on the last one
	timed      int    // records that have a time of their own
}

var (
	errNoValue     = errors.New("it has no array \"value\"")
	errTwoValues   = errors.New("it has \"value\" twice")
	errErrorMember = errors.New("it has an \"error\" beside the rows")
	errNotUTF8     = errors.New("it is not UTF-8")
	errNotObject   = errors.New("it is not a JSON object")
	errLinkType    = errors.New("its nextLink is not a string")
	errManyRows    = fmt.Errorf("it has more than %d rows", mostRows)
)

const (
	mostRows = 10_000 // of a page, ten times what any endpoint gives: a record takes far more memory than the text "0,"
	mostID   = 1 << 10
)

// split reads a whole page {"value": [row, ..], "@odata.nextLink": ".."} in one pass. Afterwards records has the rows in the
// order of the page, their Raw slices of body. After an error nothing of the page must be used.
func (p *splitter) split(body []byte) error {
	p.records, p.next, p.timed = p.records[:0], "", 0
	if !utf8.Valid(body) {
		return errNotUTF8
	}
	r := jsonscan.Reader{Buf: body}
	if r.Kind() != jsonscan.Object || !r.Object() {
		return errNotObject
	}
	values := 0
	for {
		key, ok := r.Member()
		if !ok {
			break
		}
		switch string(p.unescape(key)) {
		case "value":
			if !r.Array() {
				return errNoValue
			}
			if values++; values > 1 {
				return errTwoValues
			}
			for r.Element() {
				if len(p.records) == mostRows {
					return errManyRows
				}
				p.row(&r)
			}
		case "@odata.nextLink", "odata.nextLink": // the latter before OData 4
			if kind := r.Kind(); kind != jsonscan.String && kind != jsonscan.Null {
				return errLinkType
			}
			p.next = cmp.Or(string(p.unescape(r.Text())), p.next)
		case "error", "odata.error":
			return errErrorMember
		default:
			r.Skip()
		}
	}
	switch {
	case r.Err() != nil:
		return r.Err()
	case !r.End():
		return fmt.Errorf("%w at byte %d: more text behind the page", jsonscan.ErrSyntax, r.Pos)
	case values == 0:
		return errNoValue
	}
	return nil
}

// row consumes one element of value and appends its record.
func (p *splitter) row(r *jsonscan.Reader) {
	p.records = append(p.records, p.template)
	rec := &p.records[len(p.records)-1]
	isObject := r.Kind() == jsonscan.Object // Kind has skipped the white space: Pos is where the row begins
	start := r.Pos
	var id, when []byte
	if isObject {
		id, when, rec.Digest = p.object(r)
	} else {
		rec.Digest = event.Digest(p.value(r))
	}
	if r.Err() != nil {
		return
	}
	rec.Raw = r.Buf[start:r.Pos:r.Pos]
	// What is longer than any id would be carried along with the record for as long as it is known.
	if len(id) > 0 && len(id) <= mostID {
		rec.ID = string(p.unescape(id))
	} else {
		rec.ID = strconv.FormatUint(uint64(rec.Digest), 16)
		rec.ID = "0000000000000000"[len(rec.ID):] + rec.ID
		rec.Flags |= event.FlagNoID
	}
	// Services write the zero of their time type, in the year 1, for "none".
	if t, ok := parseTime(p.unescape(when)); ok && t.Year() >= 1970 {
		rec.Time = t
		p.timed++
	} else {
		rec.Flags |= event.FlagNoTime
	}
}

// object is digester.value for a row: on the way it picks up the row's id and time, and passes over volatile members.
func (p *splitter) object(r *jsonscan.Reader) (id, when []byte, digest event.Digest) {
	if !r.Object() {
		return nil, nil, 0
	}
	var sum uint64
	for {
		key, ok := r.Member()
		if !ok {
			return id, when, event.Digest(mix(sum ^ seedObject))
		}
		isID, isTime := string(key) == "id", string(key) == p.timeMember
		if isID || isTime {
			k := p.string(r, key)
			text, v := p.scalar(r)
			if isID {
				id = text
			} else {
				when = text
			}
			sum += pair(k, v)
			continue
		}
		if p.isVolatile(key) {
			r.Skip()
			continue
		}
		k := p.string(r, key)
		sum += pair(k, p.value(r))
	}
}

// scalar is digester.value that gives a string's inside besides.
func (p *splitter) scalar(r *jsonscan.Reader) (text []byte, digest uint64) {
	if r.Kind() != jsonscan.String {
		return nil, p.value(r)
	}
	text = r.Text()
	return text, mix(p.string(r, text) ^ seedString)
}

func (p *splitter) isVolatile(key []byte) bool {
	for _, name := range p.volatile {
		if string(key) == name {
			return true
		}
	}
	return false
}

// beginning quotes the first 200 bytes of a body, for errors: enough to tell a proxy's page from a broken record.
func beginning(body []byte) string {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "an empty body"
	}
	if len(body) > 200 {
		body = body[:200]
	}
	return strconv.Quote(strings.ToValidUTF8(string(body), "?"))
}
