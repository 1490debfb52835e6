package syslog

import (
	"encoding/binary"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/event"
)

// Limits of RFC 5424 section 6, in octets. maxParam is ours: it bounds the header.
const (
	maxHostname = 255
	maxAppName  = 48
	maxMsgID    = 32
	maxParam    = 128
)

const severityInfo = 6

// encoder makes frames. It keeps buffers between calls; it is not for concurrent use.
type encoder struct {
	prefix   []byte // "<PRI>1 "
	hostname string // "": the tenant's id
	appName  string
	sdID     string // "logferry@32473"
	bom      bool
	max      int // octets of a message, without its count

	head []byte // scratch
	body []byte // scratch: a body with control characters replaced
}

func newEncoder(cfg Config) *encoder {
	pri := slices.Index(facilities, cfg.Facility)*8 + severityInfo
	return &encoder{
		prefix:   append(strconv.AppendInt([]byte{'<'}, int64(pri), 10), ">1 "...),
		hostname: cfg.Hostname,
		appName:  cfg.AppName,
		sdID:     "logferry@" + strconv.FormatUint(uint64(cfg.EnterpriseID), 10),
		bom:      cfg.BOM,
		max:      int(cfg.MaxMessageBytes),
	}
}

// fit tells what had to be done to an event.
type fit int

const (
	whole fit = iota
	cut       // the body was cut to the limit
)

// frame appends ev as LEN SP MESSAGE (RFC 6587 section 3.4.1). A body that does not fit is cut at a character's boundary and
// the structured data says so: truncated="1" and orig_len, the body's length in octets.
func (e *encoder) frame(dst []byte, ev *event.Event) ([]byte, fit) {
	body := e.clean(ev.Body)
	e.header(ev, 0)
	room := e.max - len(e.head)
	how := whole
	if len(body) > room {
		e.header(ev, len(ev.Body))
		body = body[:boundary(body, e.max-len(e.head))]
		how = cut
	}
	dst = strconv.AppendInt(dst, int64(len(e.head)+len(body)), 10)
	dst = append(dst, ' ')
	dst = append(dst, e.head...)
	return append(dst, body...), how
}

// header makes all that stands before the body, the byte order mark included, in e.head. origLen is that of a cut body, else 0.
func (e *encoder) header(ev *event.Event, origLen int) {
	host := e.hostname
	if host == "" {
		host = ev.Key.Tenant
	}
	b := append(e.head[:0], e.prefix...)
	b = appendTime(b, ev)
	b = append(b, ' ')
	b = appendName(b, host, maxHostname)
	b = append(b, ' ')
	b = appendName(b, e.appName, maxAppName)
	b = append(b, " - "...) // PROCID: the records are not this process's
	b = appendName(b, ev.Key.Family(), maxMsgID)
	b = append(b, " ["...)
	b = append(b, e.sdID...)
	b = append(b, ` event_id="`...)
	b = append(b, ev.EventID[:]...)
	b = append(b, `" stream="`...)
	b = appendParam(b, ev.Key.Stream)
	b = append(b, `" tenant="`...)
	b = appendParam(b, ev.Key.Tenant)
	b = append(b, '"')
	if origLen > 0 {
		b = append(b, ` truncated="1" orig_len="`...)
		b = strconv.AppendInt(b, int64(origLen), 10)
		b = append(b, '"')
	}
	b = append(b, "] "...)
	if e.bom {
		b = append(b, "\xef\xbb\xbf"...)
	}
	e.head = b
}

// appendTime appends the record's own time with the six fraction digits that RFC 5424 allows; "-" outside years 0 to 9999,
// which RFC 3339 cannot write.
func appendTime(dst []byte, ev *event.Event) []byte {
	t := ev.Time.UTC()
	if t.IsZero() || t.Year() < 0 || t.Year() > 9999 {
		return append(dst, '-')
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
}

// appendName appends s as a header field: printable ASCII without space, at most most octets, "-" for none.
func appendName(dst []byte, s string, most int) []byte {
	if s == "" {
		return append(dst, '-')
	}
	if len(s) > most {
		s = s[:most]
	}
	if printable(s) {
		return append(dst, s...)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// appendParam appends s as a PARAM-VALUE: exactly `"`, `\` and `]` are escaped (RFC 5424 section 6.3.3). The value must be
// UTF-8, so what is not becomes U+FFFD.
func appendParam(dst []byte, s string) []byte {
	if len(s) > maxParam {
		s = s[:boundary(s, maxParam)]
	}
	for _, r := range s {
		if r == '"' || r == '\\' || r == ']' {
			dst = append(dst, '\\')
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// boundary gives the largest length up to n at which s may be cut without splitting a character.
func boundary[T string | []byte](s T, n int) int {
	if n >= len(s) {
		return len(s)
	}
	for back := 0; back < utf8.UTFMax && n-back > 0; back++ {
		if utf8.RuneStart(s[n-back]) {
			return n - back
		}
	}
	return n // not UTF-8: any place will do
}

// clean gives body without control characters below space, which receivers rewrite (rsyslog to #012) or take for the end of
// the message. In JSON they can only be white space between values and become spaces; in other text CR and LF become \r and
// \n, a tab stays (LEEF separates by it), the rest become spaces.
func (e *encoder) clean(body []byte) []byte {
	if !hasControl(body) {
		return body
	}
	json := body[0] == '{'
	e.body = e.body[:0]
	for _, c := range body {
		switch {
		case c >= ' ' || c == '\t' && !json:
			e.body = append(e.body, c)
		case c == '\n' && !json:
			e.body = append(e.body, '\\', 'n')
		case c == '\r' && !json:
			e.body = append(e.body, '\\', 'r')
		default:
			e.body = append(e.body, ' ')
		}
	}
	return e.body
}

// hasControl tells whether b has an octet below space. It looks at eight octets at once: it sees every body that passes.
func hasControl(b []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		if (x-ones*' ')&^x&high != 0 { // an octet borrows only if it was below space, or above one that was
			return true
		}
	}
	for _, c := range b {
		if c < ' ' {
			return true
		}
	}
	return false
}
