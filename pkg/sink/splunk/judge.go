package splunk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
)

// reply is the body of HEC's answers, such as {"text":"Invalid data format","code":6,"invalid-event-number":2}.
type reply struct {
	Text    string      `json:"text"`
	Code    *int        `json:"code"`
	Invalid *int        `json:"invalid-event-number"` // from 0
	AckID   json.Number `json:"ackId"`
}

// verdict is what a code of HEC means for the request.
type verdict int

const (
	unknown  verdict = iota // the status decides
	accepted                // with status 200 only
	later                   // the same request may be taken later
	busy                    // as later; with a number, from that event on
	blocked                 // an operator has to mend something
	bad                     // one event is bad, the one with the number if there is one
	index                   // the index does not exist or is not allowed for the token
)

// Codes that are looked at apart.
const (
	noData         = 5 // what HEC says to a request without an event whose token it knows
	invalidChannel = 11
	ackDisabled    = 14
	shuttingDown   = 23
	queueNear      = 24
	queueFull      = 26
	ackFull        = 27
)

// codes are those of Splunk 9.3, "Possible error codes" of "Troubleshoot HTTP Event Collector".
var codes = [...]struct {
	verdict verdict
	hint    string // what the operator has to do
}{
	0:  {accepted, ""},
	1:  {blocked, "the token is disabled: enable it in Splunk"},
	2:  {blocked, "the request arrived without its token: look for a proxy that removes the Authorization header"},
	3:  {blocked, "the Authorization header is not understood: token_file must hold the token alone"},
	4:  {blocked, "the token is unknown to Splunk: check token_file; a new token may take minutes to reach all indexers"},
	5:  {later, "the request arrived without its body"}, // a Send without events makes no request, so somebody between has lost it
	6:  {bad, "the event's data cannot be read"},
	7:  {index, "the index does not exist, or the token may not write to it: create it, allow it for the token, or change index"},
	8:  {later, "an internal error of Splunk"},
	9:  {busy, "Splunk is busy"},
	10: {blocked, "the token wants indexer acknowledgement: set ack: if_offered or required; if it is, a proxy removes the X-Splunk-Request-Channel header"},
	11: {later, "the channel is invalid, a new one is taken"},
	12: {bad, "the event is missing"},
	13: {bad, "the event is empty"},
	14: {blocked, "indexer acknowledgement is disabled: the endpoint must be that for events"},
	15: {bad, "the indexed fields cannot be handled"},
	16: {blocked, "the endpoint has a token in its query: remove it"},
	17: {blocked, "this is the health endpoint: give the base URL only"},
	18: {later, "Splunk's queues are full"},
	19: {later, "Splunk's acknowledgement service is not available"},
	20: {later, "Splunk's queues are full and its acknowledgement service is not available"},
	21: {blocked, "the token is invalid: check token_file"},
	22: {blocked, "the token is disabled: enable it in Splunk"},
	23: {later, "Splunk is shutting down"},
	24: {accepted, ""},
	25: {accepted, ""},
	26: {later, "Splunk's queues are full"},
	27: {later, "Splunk's acknowledgement channels are full"},
}

// judge tells what a reply to a request means. It looks at nothing else.
type judge struct {
	events   int
	oneIndex bool   // the configuration names one index for all: a wrong one is its fault
	prefix   string // assume_prefix_accepted
	host     string // of the endpoint, for errors
	secrets  post.Secrets
}

// ruling is what a reply means.
type ruling struct {
	err   error  // nil if, and only if, HEC clearly says that it has taken all events; otherwise of package fault
	ackID string // by which to ask for the acknowledgement; "": there will be none
	code  int    // of HEC, or unnamed
	moved bool   // the reply has come from another indexer than those before
}

// rule judges by the code; an unknown one, or none, leaves it to the status. A bad event is believed only with status 400 or 200.
func (j judge) rule(status int, header http.Header, body []byte) ruling {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		r = reply{}
	}
	code, verdict, hint := unnamed, unknown, ""
	if r.Code != nil && *r.Code >= 0 && *r.Code < len(codes) {
		code = *r.Code
		verdict, hint = codes[code].verdict, codes[code].hint
	}
	out := ruling{code: code}
	if verdict == accepted && status == http.StatusOK && r.Invalid == nil && digits(string(r.AckID)) {
		out.ackID = string(r.AckID)
		return out
	}
	said := describe(j.host, status, r, body, j.secrets)
	switch {
	case verdict == accepted:
		out.err = post.Later(header, fmt.Errorf("%s: the success and the rest of the reply contradict each other", said))
	case verdict == blocked:
		out.err = fault.Block(fmt.Errorf("%s: %s", said, hint))
	case verdict == busy && status == http.StatusServiceUnavailable:
		out.err = j.busy(header, r, post.Later(header, fmt.Errorf("%s: %s", said, hint)))
	case verdict == later || verdict == busy:
		out.err = post.Later(header, fmt.Errorf("%s: %s", said, hint))
	case verdict == index && (status == http.StatusBadRequest || status == http.StatusOK):
		out.err = j.index(fmt.Errorf("%s: %s", said, hint), body)
	case verdict == bad && (status == http.StatusBadRequest || status == http.StatusOK):
		out.err = j.bad(header, r, fmt.Errorf("%s: %s", said, hint), body)
	default:
		out.err = j.status(status, header, r, said, body)
	}
	return out
}

// digits tells whether s can be asked for: an id of HEC, or none.
func digits(s string) bool {
	return len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}

// keeps tells whether the receiver has stored the events before the one that it names. Splunk has; others have not.
func (j judge) keeps(header http.Header) bool {
	return j.prefix == "yes" || j.prefix == "auto" && strings.HasPrefix(strings.ToLower(header.Get("Server")), "splunkd")
}

// bad judges a request with an event that HEC does not take. Nobody has the events after it. Whether the number is right is seen
// when the event goes alone.
func (j judge) bad(header http.Header, r reply, err error, body []byte) error {
	if j.events == 1 || r.Invalid == nil || *r.Invalid < 0 || *r.Invalid >= j.events {
		return fault.Refuse(err, j.secrets.Hide(string(body)))
	}
	failed := j.from(header, *r.Invalid, fault.Again(fmt.Errorf("not settled: event %d of the same request was refused", *r.Invalid)))
	failed[*r.Invalid] = fault.Suspect(err, j.secrets.Hide(string(body)))
	return fault.Some(failed)
}

// busy judges a request that HEC has broken off.
func (j judge) busy(header http.Header, r reply, err error) error {
	if r.Invalid == nil || *r.Invalid <= 0 || *r.Invalid >= j.events || !j.keeps(header) {
		return err
	}
	return fault.Some(j.from(header, *r.Invalid, err))
}

// from gives the events that are to be sent again when HEC has stopped at one: it and those after it, and those before it where
// they are not stored.
func (j judge) from(header http.Header, number int, err error) map[int]error {
	if !j.keeps(header) {
		number = 0
	}
	failed := make(map[int]error, j.events-number)
	for i := number; i < j.events; i++ {
		failed[i] = err
	}
	return failed
}

// index judges a request for an index that is not there: with one index for all nothing can be sent before it is mended; otherwise
// the request's events have the index in common, and others may have a better one.
func (j judge) index(err error, body []byte) error {
	if j.oneIndex {
		return fault.Block(err)
	}
	refused := fault.Refuse(err, j.secrets.Hide(string(body)))
	if j.events == 1 {
		return refused
	}
	failed := make(map[int]error, j.events)
	for i := range j.events {
		failed[i] = refused
	}
	return fault.Some(failed)
}

// status judges a reply that says nothing in HEC's own words.
func (j judge) status(status int, header http.Header, r reply, said string, body []byte) error {
	switch {
	case status >= 200 && status < 300:
		return fmt.Errorf("%s: this does not say that the events were taken; is the endpoint a HEC?", said)
	case status == http.StatusBadRequest && r.Code == nil && short(header, body):
		return fmt.Errorf("%s: the reply has not come whole", said)
	case status == http.StatusBadRequest && r.Code == nil:
		// Splunk gives a code with each 400. A proxy, or a TLS port spoken to in plain text, refuses whatever is sent.
		return fault.Block(fmt.Errorf("%s: this is not a reply of HEC: check endpoints and what stands between", said))
	case status == http.StatusUnsupportedMediaType:
		return fault.Block(fmt.Errorf("%s: the endpoint does not take JSON: check endpoints", said))
	case status >= 300 && status < 400:
		return fmt.Errorf("%s: redirected to %q, which is not followed: check endpoints", said, fault.Cut(j.secrets.Hide(header.Get("Location"))))
	}
	err := fault.FromHTTP(status, header, nil)
	switch {
	case fault.Of(err) == fault.Blocked:
		return fault.Block(fmt.Errorf("%s: check endpoints, token_file and what stands between", said))
	case fault.Oversized(err):
		return fault.TooLarge(fmt.Errorf("%s: raise max_content_length of [http_input] in limits.conf, or the limit of what stands between", said), j.secrets.Hide(string(body)))
	case fault.Of(err) == fault.Poison:
		return fault.Refuse(errors.New(said), j.secrets.Hide(string(body)))
	}
	return post.Later(header, errors.New(said))
}

// short tells whether something of the reply is missing: what there is of one of HEC's is not a verdict.
func short(header http.Header, body []byte) bool {
	length, err := strconv.Atoi(header.Get("Content-Length"))
	return err == nil && length > len(body) && len(body) < maxReply || len(body) > 0 && body[0] == '{' && !json.Valid(body)
}

// describe quotes the reply, on one line, cut and without the token.
func describe(host string, status int, r reply, body []byte, secrets post.Secrets) string {
	s := host + " replied with status " + strconv.Itoa(status)
	said := r.Text
	if r.Code != nil {
		s += ", code " + strconv.Itoa(*r.Code)
	} else {
		said = string(body)
	}
	return fmt.Sprintf("%s %q", s, post.Line(secrets.Hide(said)))
}
