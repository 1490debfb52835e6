package elastic

import (
	"net/http"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/fault"
)

// TestProbe: an empty request that is refused as empty is well; everything else says what to mend.
func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		class  fault.Class
		says   string // "": it is well
	}{
		{400, `{"error":{"type":"parse_exception","reason":"request body is required"},"status":400}`, 0, ""},
		{400, `{"error":{"root_cause":[],"type":"action_request_validation_exception","reason":"Validation Failed: 1: no requests added;"},"status":400}`, 0, ""},
		{400, `<html>`, fault.Blocked, "check endpoints"},
		{401, `{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}`, fault.Blocked, "check the credentials"},
		{403, `{"error":{"type":"security_exception","reason":"action [indices:data/write/bulk] is unauthorized"},"status":403}`, fault.Blocked, "grant the credentials"},
		{404, ``, fault.Blocked, "not the cluster's own reply"},
		{503, `{"error":{"type":"master_not_discovered_exception"}}`, fault.Retryable, "503"},
		{200, `{}`, fault.Retryable, "check endpoints"},
		{302, ``, fault.Retryable, "redirected"},
	} {
		c := newCluster(t)
		asked := ""
		c.reply = func(w http.ResponseWriter, r *http.Request) bool {
			asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Encoding")
			answer(w, tt.status, tt.body)
			return true
		}
		err := newSink(t, c, nil).Probe(t.Context(), nil)
		if (err == nil) != (tt.says == "") || err != nil && (fault.Of(err) != tt.class || !strings.Contains(err.Error(), tt.says) || !strings.Contains(c.URL, strings.Fields(err.Error())[0])) {
			t.Errorf("%d %s: class %s, %v", tt.status, tt.body, fault.Of(err), err)
		}
		if asked != "POST /_bulk " || len(c.Received()) > 0 {
			t.Errorf("asked %q, %d stored", asked, len(c.Received()))
		}
	}
}
