package elastic

import (
	"strings"

	"github.com/logferry/logferry/pkg/jsonscan"
	"github.com/logferry/logferry/pkg/sink/post"
)

// item is what a reply says about one event. Its texts are slices of the reply, with escapes as they came.
type item struct {
	id           []byte
	status       int    // 0 if there is none
	failed       bool   // it has an error
	kind, reason []byte // of the error
	failureStore []byte // "used": the event went to the failure store of the data stream instead
}

// readItem reads an element of items: {"create":{"_id":"..","status":201}}. ok is false for anything else, such as another action.
func readItem(r *jsonscan.Reader) (it item, ok bool) {
	if !r.Object() {
		return it, false
	}
	action, one := r.Member()
	if !one || string(action) != "create" || !r.Object() {
		return it, false
	}
	for {
		key, more := r.Member()
		if !more {
			break
		}
		switch string(key) {
		case "_id":
			it.id = r.Text()
		case "status":
			it.status = readStatus(r.Value())
		case "failure_store":
			it.failureStore = r.Text()
		case "error":
			it.failed = r.Kind() != jsonscan.Null
			it.kind, it.reason = readError(r)
		default:
			r.Skip()
		}
	}
	_, more := r.Member()
	return it, !more && r.Err() == nil
}

// readStatus reads three digits; anything else is 0.
func readStatus(text []byte) int {
	if len(text) != 3 {
		return 0
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// readError reads {"type":"..","reason":".."}, or a text alone, which is the reason.
func readError(r *jsonscan.Reader) (kind, reason []byte) {
	if r.Kind() == jsonscan.String {
		return nil, r.Text()
	}
	if !r.Object() {
		r.Skip()
		return nil, nil
	}
	for {
		key, more := r.Member()
		switch {
		case !more:
			return kind, reason
		case string(key) == "type":
			kind = r.Text()
		case string(key) == "reason":
			reason = r.Text()
		default:
			r.Skip()
		}
	}
}

// readRefusal reads the error of a request that was refused as a whole; both are nil if the body is something else.
func readRefusal(body []byte) (kind, reason []byte) {
	r := jsonscan.Reader{Buf: body}
	if !r.Object() {
		return nil, nil
	}
	for {
		key, more := r.Member()
		switch {
		case !more:
			return kind, reason
		case string(key) == "error":
			kind, reason = readError(&r)
		default:
			r.Skip()
		}
	}
}

// quotes are the words behind which a reason quotes the document, whose content does not belong into a log.
var quotes = []string{"Preview of field's value", "The prefix of the first immense term", "For input string", "original message"}

// words makes a text of a reply fit for an error: without secrets and what it quotes of the document, on one line, cut.
func (j *judge) words(text []byte) string {
	s := j.secrets.Hide(string(jsonscan.Unescape(nil, text)))
	for _, q := range quotes {
		s, _, _ = strings.Cut(s, q)
	}
	return post.Line(s)
}
