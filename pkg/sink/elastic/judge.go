package elastic

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/jsonscan"
	"github.com/logferry/logferry/pkg/sink/post"
)

// judge says what the reply to a request with these events means. It does no I/O.
type judge struct {
	host    string // that has answered, for errors about the whole request
	events  []event.Event
	secrets post.Secrets // are taken out of what goes into errors

	duplicates map[event.StreamKey]int // how many of the accepted events were there before
}

// reply gives nil if, and only if, each event is clearly accepted.
func (j *judge) reply(status int, header http.Header, body []byte) error {
	if status == http.StatusOK {
		return j.bulk(body)
	}
	return j.refusal(status, header, body)
}

// bulk judges the events one by one. A reply that does not name them all, in order and by their ids, or that contradicts itself,
// is not believed in anything: all are sent again, which is safe because those that are stored are refused by their ids.
func (j *judge) bulk(body []byte) error {
	r := jsonscan.Reader{Buf: body}
	if !r.Object() {
		return j.doubt("it is no JSON object: " + j.quote(body))
	}
	var v verdicts
	var flag []byte // errors, as text
	for key, more := r.Member(); more; key, more = r.Member() {
		switch string(key) {
		case "errors":
			flag = r.Value()
		case "error":
			if r.Kind() != jsonscan.Null {
				_, reason := readError(&r)
				return j.doubt("it names an error: " + j.words(reason))
			}
			r.Skip()
		case "items":
			if at, ok := j.items(&r, &v); !ok {
				return j.doubt(fmt.Sprintf("item %d is not that of the event sent there (an ingest pipeline must not change _id)", at))
			}
		default:
			r.Skip()
		}
	}
	switch {
	case r.Err() != nil || !r.End():
		return j.doubt("it is broken JSON")
	case v.n != len(j.events):
		return j.doubt(fmt.Sprintf("it has %d items", v.n))
	case string(flag) != "false" && (string(flag) != "true" || !v.noted):
		return j.doubt(fmt.Sprintf("errors is %q, which the items contradict", flag[:min(len(flag), 40)]))
	}
	j.duplicates = v.duplicates
	if v.failed != nil {
		return fault.Some(v.failed)
	}
	return nil
}

// verdicts are those of the items so far.
type verdicts struct {
	n          int
	noted      bool                    // one is no plain success
	failed     map[int]error           // by place
	duplicates map[event.StreamKey]int // how many were stored before
}

// items judges the list that comes next. ok is false if it is none, or if the item at that place is not that of the event sent there.
func (j *judge) items(r *jsonscan.Reader, v *verdicts) (at int, ok bool) {
	if !r.Array() {
		return v.n, false
	}
	for r.Element() {
		it, ok := readItem(r)
		if !ok || v.n >= len(j.events) || !it.is(&j.events[v.n]) {
			return v.n, false
		}
		v.noted = v.noted || it.failed || it.status >= 300
		switch err := j.item(&it); {
		case err != nil:
			v.failed = post.Note(v.failed, v.n, err)
		case it.status == http.StatusConflict:
			if v.duplicates == nil {
				v.duplicates = map[event.StreamKey]int{}
			}
			v.duplicates[j.events[v.n].Key]++
		}
		v.n++
	}
	return v.n, r.Err() == nil
}

// is tells whether the item is that of e. A document in the failure store has got another id.
func (it *item) is(e *event.Event) bool {
	return string(it.id) == string(e.EventID[:]) || string(it.failureStore) == "used"
}

func (j *judge) doubt(why string) error {
	return fmt.Errorf("the reply to %d events is not believed: %s; all are sent again", len(j.events), why)
}

// item judges one event; nil means accepted.
func (j *judge) item(it *item) error {
	switch {
	case string(it.failureStore) == "used":
		err := errors.New("the event was put into the failure store of the data stream, where no search finds it: look there for the reason")
		return fault.Refuse(err, "")
	case it.status == http.StatusOK && !it.failed:
		// create answers 201. Success without that is what an ingest pipeline makes of an event that it drops.
		err := errors.New("the cluster stored nothing and called it a success: an ingest pipeline of the index has dropped the event")
		return fault.Refuse(err, "")
	case it.status == http.StatusOK || it.status == http.StatusCreated:
		if it.failed {
			return errors.New(j.say("the cluster", it.status, it.kind, it.reason) + ": the success and the error contradict each other")
		}
		return nil
	case it.status == http.StatusConflict && string(it.kind) == "version_conflict_engine_exception":
		return nil // it was stored before
	}
	said := j.say("the cluster", it.status, it.kind, it.reason)
	if hint := mend(it.status, it.kind, it.reason); hint != "" {
		return block(it.kind, fmt.Errorf("%s: %s", said, hint))
	}
	if it.status >= 400 && it.status < 500 && !passing(it.status) {
		return fault.Refuse(errors.New(said), said)
	}
	if it.status == http.StatusTooManyRequests {
		return fault.After(rejectedPause, errors.New(said))
	}
	return errors.New(said)
}

// rejectedPause is for events that the cluster has no room for now, while it takes others of the same request. Without it the others
// would go on as fast as before.
const rejectedPause = 2 * time.Second

// passing tells the statuses below 500 that may be others the next time. A conflict is one of versions, or not known.
func passing(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusConflict || status == http.StatusTooManyRequests
}

// liftedPause is after what time a block is looked at again: the cluster lifts that of a full disk by itself, and tells nobody.
const liftedPause = time.Minute

func block(kind []byte, err error) error {
	if string(kind) == "cluster_block_exception" {
		return fault.Recheck(liftedPause, err)
	}
	return fault.Block(err)
}

// The privileges are those of the action create, into a stream or index that may have to be made.
const (
	credentialsHint = "check the credentials (api_key_file, bearer_token_file or user and password_file) and that they have not expired"
	grantHint       = "grant the credentials create_doc and auto_configure on the data stream or index " +
		"(OpenSearch: cluster_composite_ops of the cluster, write and create_index of the index)"
	missingHint = "create it or install its index template (deploy/elastic), check action.auto_create_index, and data_stream or index"
)

// kinds are the error types for which an operator has to mend something, whatever the status, and what.
var kinds = map[string]string{
	"cluster_block_exception":      "writing is blocked: free disk space, or remove the block (index.blocks.read_only_allow_delete, index.blocks.write)",
	"index_closed_exception":       "open the index",
	"index_not_found_exception":    missingHint,
	"invalid_index_name_exception": "check data_stream or index",
	"invalid_alias_name_exception": "check data_stream or index",
}

// reasons are the same for errors whose type says nothing. They are looked for in the types that quote no document: else a record
// could stop the sink by its content.
var reasons = []struct{ kind, part, hint string }{
	{"illegal_argument_exception", "no write index is defined", "the alias needs a write index"},
	{"illegal_argument_exception", "no matching index template", missingHint},
	{"illegal_argument_exception", "pipeline with id [", "the index names an ingest pipeline that is missing: create it, or change index.default_pipeline or index.final_pipeline"},
	{"illegal_argument_exception", "Number of documents in the index", "a shard is full: roll the data stream or index over"},
	{"illegal_argument_exception", "explicit index in bulk is not allowed", "set rest.action.multi.allow_explicit_index to true"},
	{"validation_exception", "shards open", "the cluster has as many shards as it may have: delete old indices, or raise cluster.max_shards_per_node"},
}

// mend gives what an operator has to do about an error; "" if nothing.
func mend(status int, kind, reason []byte) string {
	if status >= 500 {
		return "" // a block while the cluster starts, too
	}
	if hint := kinds[string(kind)]; hint != "" {
		return hint
	}
	for _, r := range reasons {
		if string(kind) == r.kind && bytes.Contains(reason, []byte(r.part)) {
			return r.hint
		}
	}
	switch status {
	case http.StatusUnauthorized:
		return credentialsHint
	case http.StatusForbidden:
		return grantHint
	case http.StatusNotFound:
		return missingHint
	}
	return ""
}

// refusal judges a request of which nothing was taken, or nobody knows.
func (j *judge) refusal(status int, header http.Header, body []byte) error {
	kind, reason := readRefusal(body)
	own := kind != nil || reason != nil
	said := j.say(j.host, status, kind, reason)
	if !own {
		said += " " + j.quote(body)
	}
	switch {
	case status >= 200 && status < 300:
		return fmt.Errorf("%s: this does not say that the events were taken: check endpoints", said)
	case status >= 300 && status < 400:
		return fmt.Errorf("%s: redirected to %q, which is not followed: check endpoints", said, fault.Cut(j.secrets.Hide(header.Get("Location"))))
	case status == http.StatusRequestEntityTooLarge:
		return fault.TooLarge(fmt.Errorf("%s: raise http.max_content_length, or the limit of what stands between", said), said)
	}
	if !own && (status == http.StatusForbidden || status == http.StatusNotFound) {
		return fault.Block(fmt.Errorf("%s: this is not the cluster's own reply: check endpoints, the credentials and what stands between", said))
	}
	if hint := mend(status, kind, reason); hint != "" {
		return block(kind, fmt.Errorf("%s: %s", said, hint))
	}
	switch fault.Of(fault.FromHTTP(status, header, nil)) {
	case fault.Blocked:
		return fault.Block(fmt.Errorf("%s: check endpoints and what stands between", said))
	case fault.Poison:
		if own && len(j.events) > 1 {
			return fault.Refuse(errors.New(said), said)
		}
		// Documents are looked at one by one, behind this: a request that is refused with one event in it, each would be.
		return fault.Block(fmt.Errorf("%s: check endpoints and what stands between; compression: none may help", said))
	}
	return post.Later(header, errors.New(said))
}

// say puts an error of the cluster into words.
func (j *judge) say(who string, status int, kind, reason []byte) string {
	s := who + " replied with status " + strconv.Itoa(status)
	if kind != nil {
		s += ", " + j.words(kind)
	}
	if reason != nil {
		s += ": " + j.words(reason)
	}
	return s
}

// quote shows the beginning of a body that is not understood.
func (j *judge) quote(body []byte) string {
	return strconv.Quote(j.words(body))
}
