package elastic

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// bulkReply is a reply to events with an item each; of replaces the members behind _id.
func bulkReply(events []event.Event, of map[int]string) string {
	var items []string
	failed := false
	for i := range events {
		members, other := of[i]
		if !other {
			members = `"status":201`
		}
		failed = failed || strings.Contains(members, `"error":{`)
		items = append(items, fmt.Sprintf(`{"create":{"_index":".ds-x","_id":%q,%s}}`, events[i].EventID, members))
	}
	return fmt.Sprintf(`{"took":30,"ingest_took":3,"errors":%t,"items":[%s]}`, failed, strings.Join(items, ","))
}

func failure(status int, kind, reason string) string {
	return fmt.Sprintf(`"status":%d,"error":{"type":%q,"reason":%q,"index":"x","caused_by":{"type":"t","reason":"r"}}`, status, kind, reason)
}

// TestJudgeItems goes over the verdicts on one event, the second of three.
func TestJudgeItems(t *testing.T) {
	for _, c := range []struct{ name, members, want string }{
		{"created", `"result":"created","status":201`, "accepted"},
		{"dropped by a pipeline", `"result":"noop","status":200`, "poison"},
		{"shard full", failure(400, "illegal_argument_exception", "Number of documents in the index can't exceed [2147483519]"), "blocked"},
		{"no error", `"status":201,"error":null`, "accepted"},
		{"known since", `"status":201,"failure_store":"not_applicable_or_unknown"`, "accepted"},
		{"there already", failure(409, "version_conflict_engine_exception", "document already exists"), "accepted"},
		{"another conflict", failure(409, "resource_already_exists_exception", "x"), "retryable"},
		{"a conflict of nobody knows what", `"status":409,"error":{}`, "retryable"},
		{"rejected", failure(429, "es_rejected_execution_exception", "rejected execution"), "retryable"},
		{"memory", failure(429, "circuit_breaking_exception", "Data too large"), "retryable"},
		{"no shard", failure(503, "unavailable_shards_exception", "primary shard is not active"), "retryable"},
		{"timeout", failure(503, "process_cluster_event_timeout_exception", "failed to process"), "retryable"},
		{"internal", failure(500, "null_pointer_exception", "x"), "retryable"},
		{"request timeout", failure(408, "x", "x"), "retryable"},
		{"mapping, 7", failure(400, "mapper_parsing_exception", "failed to parse"), "poison"},
		{"mapping, 8", failure(400, "document_parsing_exception", "failed to parse"), "poison"},
		{"strict mapping", failure(400, "strict_dynamic_mapping_exception", "dynamic introduction of [x] is not allowed"), "poison"},
		{"too many fields", failure(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"), "poison"},
		{"no @timestamp", failure(400, "illegal_argument_exception", "data stream timestamp field [@timestamp] is missing"), "poison"},
		{"not acceptable", failure(406, "x", "x"), "poison"},
		{"error without words", `"status":400,"error":{}`, "poison"},
		{"disk full", failure(429, "cluster_block_exception", "index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark"), "blocked"},
		{"read only", failure(403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)]"), "blocked"},
		{"no master", failure(503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no master]"), "retryable"},
		{"closed", failure(400, "index_closed_exception", "closed"), "blocked"},
		{"no index", failure(404, "index_not_found_exception", "no such index [x] and [action.auto_create_index] is [false]"), "blocked"},
		{"name", failure(400, "invalid_index_name_exception", "Invalid index name"), "blocked"},
		{"no write index", failure(400, "illegal_argument_exception", "no write index is defined for alias [x]"), "blocked"},
		{"no template", failure(400, "illegal_argument_exception", "no matching index template found for data stream [x]"), "blocked"},
		{"no pipeline", failure(400, "illegal_argument_exception", "pipeline with id [x] does not exist"), "blocked"},
		{"too many shards", failure(400, "validation_exception", "this cluster currently has [1000]/[1000] maximum normal shards open"), "blocked"},
		{"words of a document", failure(400, "document_parsing_exception", "Preview of field's value: 'no write index is defined'"), "poison"},
		{"not signed in", failure(401, "security_exception", "missing authentication credentials"), "blocked"},
		{"not allowed", failure(403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized"), "blocked"},
		{"failure store", `"status":201,"failure_store":"used"`, "poison"},
		{"failure store failed", `"failure_store":"failed",` + failure(429, "cluster_block_exception", "x"), "blocked"},
		{"success and error", failure(201, "x", "x"), "retryable"},
		{"no status", `"result":"created"`, "retryable"},
		{"status of another type", `"status":"201"`, "retryable"},
		{"status in exponents", `"status":2.01e2`, "retryable"},
		{"redirect", `"status":302`, "retryable"},
		{"accepted, but not stored", `"status":202`, "retryable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			events := posttest.Samples(3)
			err := (&judge{events: events}).reply(200, nil, []byte(bulkReply(events, map[int]string{1: c.members})))
			got := posttest.Outcome(err)
			if failed := fault.Failed(err); len(failed) == 1 {
				got = posttest.Outcome(failed[1])
			}
			if got != c.want {
				t.Errorf("%s, want %s: %v, %v", got, c.want, err, fault.Failed(err))
			}
		})
	}
}

// TestJudgeDoubts has replies that must not be believed, and some that may.
func TestJudgeDoubts(t *testing.T) {
	events := posttest.Samples(3)
	good := bulkReply(events, nil)
	swapped := []event.Event{events[1], events[0], events[2]}
	again := bulkReply(events, map[int]string{0: failure(409, "version_conflict_engine_exception", "x")})
	for _, c := range []struct{ name, body, want string }{
		{"good", good, "accepted"},
		{"good, in lines", strings.ReplaceAll(good, ",", " ,\r\n "), "accepted"},
		{"no error at the top", strings.Replace(good, `"took":30`, `"error":null`, 1), "accepted"},
		{"repeat", again, "accepted"},
		{"repeat without errors", strings.Replace(again, `"errors":true`, `"errors":false`, 1), "accepted"},
		{"nothing", "", "retryable"},
		{"page", "<!doctype html><html><body>Welcome</body></html>", "retryable"},
		{"list", "[" + good + "]", "retryable"},
		{"twice", good + good, "retryable"},
		{"cut", good[:len(good)-1], "retryable"},
		{"no items", `{"took":1,"errors":false}`, "retryable"},
		{"items empty", `{"took":1,"errors":false,"items":[]}`, "retryable"},
		{"items null", `{"took":1,"errors":false,"items":null}`, "retryable"},
		{"items twice", strings.Replace(good, `"items"`, `"items":[],"items"`, 1), "accepted"},
		{"one less", bulkReply(events[:2], nil), "retryable"},
		{"one more", bulkReply(posttest.Samples(4), nil), "retryable"},
		{"order", bulkReply(swapped, nil), "retryable"},
		{"another's", bulkReply(posttest.Samples(5)[2:], nil), "retryable"},
		{"no ids", strings.ReplaceAll(good, `"_id"`, `"id"`), "retryable"},
		{"index actions", strings.ReplaceAll(good, `"create"`, `"index"`), "retryable"},
		{"two actions", strings.Replace(good, `}},`, `},"create":{}},`, 1), "retryable"},
		{"item of text", strings.Replace(good, `{"create"`, `"x",{"create"`, 1), "retryable"},
		{"error at the top", strings.Replace(good, `"took":30`, `"error":"mapping failed"`, 1), "retryable"},
		{"error object at the top", strings.Replace(good, `"took":30`, `"error":{"type":"x"}`, 1), "retryable"},
		{"errors missing", strings.Replace(good, `"errors":false,`, "", 1), "retryable"},
		{"errors of text", strings.Replace(good, `"errors":false`, `"errors":"false"`, 1), "retryable"},
		{"errors, but none", strings.Replace(good, `"errors":false`, `"errors":true`, 1), "retryable"},
		{"failure store, which gives ids of its own", strings.Replace(strings.Replace(good, events[1].EventID.String(), "AXl7wpkBf6mEZ", 1), `AXl7wpkBf6mEZ"`, `AXl7wpkBf6mEZ","failure_store":"used"`, 1), "partial"},
		{"no errors, but one", strings.Replace(bulkReply(events, map[int]string{2: failure(400, "x", "x")}), `"errors":true`, `"errors":false`, 1), "partial"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := posttest.Outcome((&judge{events: events}).reply(200, nil, []byte(c.body))); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	if judged := (&judge{events: events}).reply(200, nil, []byte(bulkReply(events[:2], nil))); judged == nil || fault.Failed(judged) != nil {
		t.Errorf("of a reply with an item missing some are believed: %v", judged)
	}
}

func TestJudgeRefusals(t *testing.T) {
	const page = "<html><head><title>no</title></head></html>"
	own := func(status int, kind string) string {
		return fmt.Sprintf(`{"error":{"root_cause":[{"type":"other"}],"type":%q,"reason":"words"},"status":%d}`, kind, status)
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		n      int
		want   string
	}{
		{"201", 201, bulkReply(posttest.Samples(3), nil), 3, "retryable"},
		{"204", 204, "", 3, "retryable"},
		{"302", 302, page, 3, "retryable"},
		{"307", 307, "", 3, "retryable"},
		{"400", 400, own(400, "illegal_argument_exception"), 3, "poison"},
		{"400 alone", 400, own(400, "illegal_argument_exception"), 1, "blocked"},
		{"400, old form", 400, `{"error":"IllegalArgumentException[words]","status":400}`, 3, "poison"},
		{"400 of a proxy", 400, page, 3, "blocked"},
		{"400 plain", 400, "Client sent an HTTP request to an HTTPS server.\n", 1, "blocked"},
		{"400 explicit index", 400, `{"error":{"type":"illegal_argument_exception","reason":"explicit index in bulk is not allowed"}}`, 3, "blocked"},
		{"401", 401, own(401, "security_exception"), 3, "blocked"},
		{"401 plain", 401, "Unauthorized", 3, "blocked"},
		{"403", 403, own(403, "security_exception"), 3, "blocked"},
		{"403 block", 403, own(403, "cluster_block_exception"), 3, "blocked"},
		{"403 of a proxy", 403, `{"Message":"User: anonymous is not authorized"}`, 3, "blocked"},
		{"404", 404, own(404, "index_not_found_exception"), 3, "blocked"},
		{"404 page", 404, page, 3, "blocked"},
		{"405", 405, `{"error":"Incorrect HTTP method","status":405}`, 3, "blocked"},
		{"406", 406, `{"error":"Content-Type header [x] is not supported","status":406}`, 1, "retryable"},
		{"407", 407, page, 3, "blocked"},
		{"408", 408, page, 3, "retryable"},
		{"409", 409, own(409, "x"), 3, "retryable"},
		{"413", 413, "", 3, "poison"},
		{"413 alone", 413, page, 1, "poison"},
		{"415", 415, page, 3, "blocked"},
		{"422", 422, page, 3, "blocked"},
		{"429", 429, own(429, "circuit_breaking_exception"), 3, "retryable"},
		{"429 block", 429, own(429, "cluster_block_exception"), 3, "blocked"},
		{"500", 500, own(500, "x"), 3, "retryable"},
		{"502", 502, page, 3, "retryable"},
		{"503 block", 503, own(503, "cluster_block_exception"), 3, "retryable"},
		{"504", 504, page, 3, "retryable"},
		{"no such status", 999, page, 3, "retryable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := (&judge{events: posttest.Samples(c.n)}).reply(c.status, http.Header{}, []byte(c.body))
			if got := posttest.Outcome(err); got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, err)
			}
			if err == nil || !strings.Contains(err.Error(), fmt.Sprint(c.status)) || len(err.Error()) > 800 {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestJudgeRetryAfter(t *testing.T) {
	for status, body := range map[int]string{429: `{"error":{"type":"circuit_breaking_exception","reason":"x"}}`, 503: "<html>"} {
		err := (&judge{events: posttest.Samples(1)}).reply(status, http.Header{"Retry-After": {"2.5"}}, []byte(body))
		if got := fault.Pause(err); got != 2500*time.Millisecond {
			t.Errorf("%d: pause is %s", status, got)
		}
	}
	// One event without room slows down what comes, as the others of its request were taken.
	events := posttest.Samples(2)
	err := (&judge{events: events}).reply(200, nil, []byte(bulkReply(events, map[int]string{1: failure(429, "es_rejected_execution_exception", "x")})))
	if got := fault.Pause(fault.Failed(err)[1]); got != rejectedPause {
		t.Errorf("a rejected event: pause is %s", got)
	}
}

// TestJudgeBlocks: a block of the cluster is looked at more often than what somebody has to mend.
func TestJudgeBlocks(t *testing.T) {
	events := posttest.Samples(1)
	for kind, want := range map[string]time.Duration{"cluster_block_exception": liftedPause, "index_closed_exception": 0} {
		item := (&judge{events: events}).reply(200, nil, []byte(bulkReply(events, map[int]string{0: failure(403, kind, "x")})))
		whole := (&judge{events: events}).reply(403, http.Header{}, []byte(`{"error":{"type":"`+kind+`","reason":"x"}}`))
		for _, err := range []error{fault.Failed(item)[0], whole} {
			if posttest.Outcome(err) != "blocked" || fault.Pause(err) != want {
				t.Errorf("%s: paused %s at the most, %v", kind, fault.Pause(err), err)
			}
		}
	}
}

// TestJudgeTooLarge: a request that is too large is told from one that is bad.
func TestJudgeTooLarge(t *testing.T) {
	events := posttest.Samples(2)
	if err := (&judge{events: events}).reply(413, nil, nil); !fault.Oversized(err) {
		t.Errorf("413: %v", err)
	}
	if err := (&judge{events: events}).reply(400, nil, []byte(`{"error":{"type":"x","reason":"y"}}`)); fault.Oversized(err) {
		t.Errorf("400: %v", err)
	}
}

// TestJudgeHints: the one who must mend something is told what.
func TestJudgeHints(t *testing.T) {
	events := posttest.Samples(1)
	for members, want := range map[string]string{
		failure(403, "security_exception", "x"):                 "create_doc",
		failure(401, "security_exception", "x"):                 "api_key_file",
		failure(404, "index_not_found_exception", "no such x"):  "action.auto_create_index",
		failure(403, "cluster_block_exception", "blocked by x"): "free disk space",
	} {
		err := (&judge{events: events}).reply(200, nil, []byte(bulkReply(events, map[int]string{0: members})))
		if cause := fault.Failed(err)[0]; cause == nil || !strings.Contains(cause.Error(), want) {
			t.Errorf("%s: %v, want %q in it", members, cause, want)
		}
	}
}

// TestJudgeQuotesNoDocument: what a reason quotes of an event stays out of errors and of the dead letter's reply.
func TestJudgeQuotesNoDocument(t *testing.T) {
	events := posttest.Samples(1)
	for _, reason := range []string{
		"[1:9] failed to parse field [user.id] of type [long] in document with id 'x'. Preview of field's value: 'CANARY'",
		"Document contains at least one immense term in field=\"x\", The prefix of the first immense term is: '[CANARY]', original message: CANARY",
		`For input string: "CANARY"`,
	} {
		err := (&judge{events: events}).reply(200, nil, []byte(bulkReply(events, map[int]string{0: failure(400, "document_parsing_exception", reason)})))
		cause := fault.Failed(err)[0]
		if fault.Of(cause) != fault.Poison || !strings.Contains(cause.Error(), "document_parsing_exception") || !strings.Contains(fault.Reply(cause), "status 400") {
			t.Errorf("the error is %v", cause)
		}
		if strings.Contains(cause.Error()+fault.Reply(cause), "CANARY") {
			t.Errorf("%v quotes the document", cause)
		}
	}
}

func FuzzJudge(f *testing.F) {
	events := posttest.Samples(2)
	for _, of := range []string{`"status":201`, failure(409, "version_conflict_engine_exception", "x"), failure(400, "x", "\xff"), `"failure_store":"used","status":201`} {
		f.Add(200, []byte(bulkReply(events, map[int]string{1: of})))
	}
	f.Add(413, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := (&judge{events: events}).reply(status, http.Header{}, body)
		for i, cause := range fault.Failed(err) {
			if i < 0 || i >= len(events) || cause == nil || fault.Of(cause) == fault.Partial || len(cause.Error()) > 2000 {
				t.Errorf("event %d: %v", i, cause)
			}
		}
		if err != nil {
			return
		}
		var r struct {
			Items []map[string]struct {
				ID     string `json:"_id"`
				Status int    `json:"status"`
			} `json:"items"`
		}
		if e := json.Unmarshal(body, &r); e != nil || status != 200 || len(r.Items) > len(events) {
			t.Fatalf("status %d, %q is accepted: %v", status, body, e)
		}
	})
}

// TestJudgeAllocations: a success costs nothing per event.
func TestJudgeAllocations(t *testing.T) {
	events := posttest.Samples(500)
	reply := []byte(bulkReply(events, nil))
	j := (&judge{events: events})
	if got := testing.AllocsPerRun(20, func() {
		if err := j.reply(200, nil, reply); err != nil {
			t.Fatal(err)
		}
	}); got > 2 {
		t.Errorf("%.0f allocations for the reply to 500 events", got)
	}
}
