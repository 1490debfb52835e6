package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const eventTypes = "signInEventTypes"

// eventTypeNames are the values of signInEventTypes, in the order of Streams.
var eventTypeNames = []string{"interactiveUser", "nonInteractiveUser", "servicePrincipal", "managedIdentity"}

// errNoReason is a 400 whose message ends after "Invalid filter clause".
var errNoReason = errors.New("")

// place is a record's place in the total order of a tenant's records: time, then source, then number within the source.
type place struct {
	at     ticks
	source int32
	number int64
}

func (a place) compare(b place) int {
	for _, d := range [...]int64{a.at - b.at, int64(a.source - b.source), a.number - b.number} {
		if d != 0 {
			return int(max(-1, min(1, d)))
		}
	}
	return 0
}

// selection is what a walk over records yields: those of streams (bits) in the closed stretch [lo, hi] that pass the filter, as they are at now.
type selection struct {
	streams streamSet
	lo, hi  ticks
	filter  *node
	now     ticks
	asc     bool
	after   *place // only what comes after it in the order of the walk
}

// query is a parsed report request.
type query struct {
	selection
	of    *collection
	beta  bool
	known bool // the client knows members of enumerations that are younger than the API's version
	top   int
	link  url.Values // the options, for nextLink
	token *token     // nil on the first page

	legacy *legacyQuery // nil for Microsoft Graph
}

// token is a $skiptoken: where the reply before it ended. It holds for the options that it was made with only.
type token struct {
	after place
	start bool   // from the beginning, after is not set
	nonce uint32 // makes links differ where a fault makes pages stand still
	back  bool   // the page links back to where it was linked from, prev
	prev  []byte // a token's text, empty for the first page
}

// badRequest is a 400 in Graph's words.
type badRequest struct{ code, message string }

func (e *badRequest) Error() string { return e.message }

// parseQuery reads the options of a report request. Unknown ones are ignored, as Graph does.
func (s *Server) parseQuery(of *collection, beta bool, options url.Values) (*query, error) {
	q := &query{of: of, beta: beta, top: of.page, link: options}
	q.asc = of.oldest
	if _, ok := options["$skip"]; ok {
		return q, &badRequest{"BadRequest", "Query option 'Skip' is not allowed. To allow it, set the 'AllowedQueryOptions' property on EnableQueryAttribute or QueryValidationSettings."}
	}
	filter, err := parseFilter(options.Get("$filter"), of, beta)
	if err != nil {
		message := "Invalid filter clause"
		if err != errNoReason {
			message += ": " + err.Error()
		}
		return q, &badRequest{"BadRequest", message}
	}
	q.filter = filter
	q.lo, q.hi = filter.bounds()
	q.streams = q.shows()
	if s.opts.OldestBound > 0 && q.lo != math.MinInt64 && q.lo < toTicks(s.opts.Now().Add(-s.opts.OldestBound)) {
		return q, &badRequest{"BadRequest", "Invalid filter clause: the lower bound is too far back."}
	}
	if text := options.Get("$top"); text != "" {
		if q.top, err = strconv.Atoi(text); err != nil || q.top < 1 || q.top > of.maxPage {
			return q, &badRequest{"BadRequest", fmt.Sprintf("Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", text, of.maxPage)}
		}
	}
	if text := options.Get("$orderby"); text != "" {
		name, order, _ := strings.Cut(strings.TrimSpace(text), " ")
		if q.asc = order == "" || order == "asc"; of.noOrder || name != of.time || (!q.asc && order != "desc") {
			return q, &badRequest{"BadRequest", fmt.Sprintf("Invalid orderby clause: '%s'.", text)}
		}
	}
	if text, ok := options["$skiptoken"]; ok {
		return q, s.resume(q, text[0])
	}
	return q, nil
}

// shows returns the streams that the query reads. Without a word on kinds, and on v1.0 always, sign-ins are the interactive ones.
func (q *query) shows() streamSet {
	if q.of != signIns {
		return 1 << q.of.stream
	}
	bits, named := q.filter.streams()
	if !named {
		return 1 << streamInteractive
	}
	return bits & (1<<streamAudits - 1)
}

func (s *Server) resume(q *query, text string) error {
	if text == "" {
		return &badRequest{"UnknownError", "Invalid Skip Token, skip token is null"}
	}
	t, err := s.openToken(q, text)
	if err != nil {
		return &badRequest{"", "Invalid Skip Token"}
	}
	q.token = t
	if !t.start {
		q.after = &t.after
	}
	return nil
}

// seal returns the text of t for the query's options.
func (s *Server) seal(q *query, t *token) string {
	buf := make([]byte, 0, 64)
	flags := byte(0)
	if t.start {
		flags |= 1
	}
	if t.back {
		flags |= 2
	}
	buf = append(buf, flags)
	buf = binary.BigEndian.AppendUint64(buf, uint64(t.after.at))
	buf = binary.BigEndian.AppendUint32(buf, uint32(t.after.source))
	buf = binary.BigEndian.AppendUint64(buf, uint64(t.after.number))
	buf = binary.BigEndian.AppendUint32(buf, t.nonce)
	buf = append(buf, t.prev...)
	return base64.RawURLEncoding.EncodeToString(append(buf, s.tokenSum(q, buf)...))
}

const tokenSize, sumSize = 1 + 8 + 4 + 8 + 4, 12

func (s *Server) openToken(q *query, text string) (*token, error) {
	buf, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(buf) < tokenSize+sumSize {
		return nil, errors.New("not a token")
	}
	buf, sum := buf[:len(buf)-sumSize], buf[len(buf)-sumSize:]
	if !hmac.Equal(sum, s.tokenSum(q, buf)) {
		return nil, errors.New("token of another query")
	}
	return &token{
		start: buf[0]&1 != 0,
		back:  buf[0]&2 != 0,
		after: place{int64(binary.BigEndian.Uint64(buf[1:])), int32(binary.BigEndian.Uint32(buf[9:])), int64(binary.BigEndian.Uint64(buf[13:]))},
		nonce: binary.BigEndian.Uint32(buf[21:]),
		prev:  buf[tokenSize:],
	}, nil
}

// tokenSum binds a token to the options beside it.
func (s *Server) tokenSum(q *query, payload []byte) []byte {
	h := hmac.New(sha256.New, s.key[:])
	fmt.Fprintf(h, "%s|%t|%q|%q|%q|", q.of.name(), q.beta, q.link.Get("$filter"), q.link.Get("$top"), q.link.Get("$orderby"))
	h.Write(payload)
	return h.Sum(nil)[:sumSize]
}

// address returns the request's path with all of its options, and the skip token if there is one.
func (q *query) address(base, skipToken string) string {
	version := "/v1.0"
	if q.beta {
		version = "/beta"
	}
	var b strings.Builder
	b.WriteString(base + version + "/" + q.of.path)
	sep := byte('?')
	put := func(name, value string) {
		b.WriteByte(sep)
		sep = '&'
		// Graph leaves the $ of its option names as it is.
		b.WriteString(strings.ReplaceAll(url.QueryEscape(name), "%24", "$") + "=" + url.QueryEscape(value))
	}
	names := make([]string, 0, len(q.link))
	for name := range q.link {
		if name != "$skiptoken" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range q.link[name] {
			put(name, value)
		}
	}
	if skipToken != "" {
		put("$skiptoken", skipToken)
	}
	return b.String()
}

// everything is a selection of all that there is of streams at a time, oldest first.
func everything(streams streamSet, now ticks) selection {
	return selection{streams: streams, lo: math.MinInt64, hi: now, now: now, asc: true}
}
