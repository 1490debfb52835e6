package splunk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/fault"
)

// reply is the body of HEC's answers, such as {"text":"Invalid data format","code":6,"invalid-event-number":2}.
type reply struct {
	Text    string `json:"text"`
	Code    *int   `json:"code"`
	Invalid *int   `json:"invalid-event-number"` // from 0
}

// verdict is what a code of HEC means for the request.
type verdict int

const (
	unknown  verdict = iota // the status decides
	accepted                // with status 200 only
	later                   // the same request may be taken later
	blocked                 // an operator has to mend something
	bad                     // one event is bad, the one with the number if there is one
	index                   // the index does not exist or is not allowed for the token
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
	9:  {later, "Splunk is busy"},
	10: {blocked, "the token asks for indexer acknowledgement, which logferry does not do yet: switch it off for this token"},
	11: {later, "the channel is invalid"},
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
	24: {accepted, ""}, // queues near their capacity
	25: {accepted, ""}, // acknowledgement channels near their capacity
	26: {later, "Splunk's queues are full"},
	27: {later, "Splunk's acknowledgement channels are full"},
}

// judge tells what a reply to a request with n events means: nil if, and only if, HEC clearly says that it has taken them all.
// oneIndex says that the events share an index, so that a wrong index is a fault of the configuration.
//
// An unknown code, or none, leaves it to the status. A bad event is believed only with status 400 or 200. Splunk has stored the
// events before the bad one, other receivers have not, nobody has those after it: all but the bad one are to be sent again.
func judge(status int, header http.Header, body []byte, n int, oneIndex bool) error {
	var r reply
	if err := json.Unmarshal(body, &r); err != nil {
		r = reply{}
	}
	verdict, hint := unknown, ""
	if r.Code != nil && *r.Code >= 0 && *r.Code < len(codes) {
		verdict, hint = codes[*r.Code].verdict, codes[*r.Code].hint
	}
	said := describe(status, r, body)
	switch {
	case verdict == accepted && status == http.StatusOK && r.Invalid == nil:
		return nil
	case verdict == accepted:
		return pause(header, fmt.Errorf("%s: the success and the rest of the reply contradict each other", said))
	case verdict == blocked:
		return fault.Block(fmt.Errorf("%s: %s", said, hint))
	case verdict == later:
		return pause(header, fmt.Errorf("%s: %s", said, hint))
	case verdict != unknown && (status == http.StatusBadRequest || status == http.StatusOK):
		return judgeBad(verdict, r, fmt.Errorf("%s: %s", said, hint), string(body), n, oneIndex)
	}
	return judgeStatus(status, header, r, said, body)
}

// judgeBad judges a request with an event that Splunk does not take.
func judgeBad(v verdict, r reply, err error, body string, n int, oneIndex bool) error {
	if v == index && oneIndex {
		return fault.Block(err)
	}
	if n == 1 || r.Invalid == nil || *r.Invalid < 0 || *r.Invalid >= n {
		return fault.Refuse(err, body)
	}
	again := fmt.Errorf("not settled: event %d of the same request was refused", *r.Invalid)
	failed := make(map[int]error, n)
	for i := range n {
		failed[i] = again
	}
	failed[*r.Invalid] = fault.Refuse(err, body)
	return fault.Some(failed)
}

// judgeStatus judges a reply that says nothing in HEC's own words.
func judgeStatus(status int, header http.Header, r reply, said string, body []byte) error {
	switch {
	case status >= 200 && status < 300:
		return fmt.Errorf("%s: this does not say that the events were taken; is the endpoint a HEC?", said)
	case status == http.StatusBadRequest && r.Code == nil:
		// Splunk gives a code with each 400. A proxy, or a TLS port spoken to in plain text, refuses whatever is sent.
		return fault.Block(fmt.Errorf("%s: this is not a reply of HEC: check endpoints and what stands between", said))
	case status == http.StatusUnsupportedMediaType:
		return fault.Block(fmt.Errorf("%s: the endpoint does not take JSON: check endpoints", said))
	case status >= 300 && status < 400:
		return fmt.Errorf("%s: redirected to %q, which is not followed: check endpoints", said, fault.Cut(header.Get("Location")))
	}
	err := fault.FromHTTP(status, header, nil)
	switch fault.Of(err) {
	case fault.Blocked:
		return fault.Block(fmt.Errorf("%s: check endpoints, token_file and what stands between", said))
	case fault.Poison:
		return fault.Refuse(errors.New(said), string(body))
	}
	return pause(header, errors.New(said))
}

func pause(header http.Header, err error) error {
	if d, ok := fault.RetryAfter(header, time.Now()); ok {
		return fault.After(d, err)
	}
	return err
}

// describe quotes the reply, on one line and cut.
func describe(status int, r reply, body []byte) string {
	s := "splunk replied with status " + strconv.Itoa(status)
	if r.Code != nil {
		s += ", code " + strconv.Itoa(*r.Code)
	}
	said := r.Text
	if r.Code == nil {
		said = string(body[:min(len(body), 4096)])
	}
	said = strings.Join(strings.Fields(strings.ToValidUTF8(said, "?")), " ")
	if len(said) > 300 {
		said = strings.ToValidUTF8(said[:300], "") + ".."
	}
	return fmt.Sprintf("%s %q", s, said)
}
