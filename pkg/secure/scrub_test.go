package secure

import (
	"encoding/json"
	"testing"
)

func TestScrub(t *testing.T) {
	const jwt = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln"
	tests := []struct{ text, want string }{
		{"https://user:pass/wo@rd@host.example.com/x", "https://<redacted>@host.example.com/x"},
		{"get https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?$filter=a ge 2026-01-01&$top=5&%24top=1&$skiptoken=abc&sig=x: timeout",
			"get https://graph.microsoft.com/v1.0/auditLogs/directoryAudits?$filter=a ge 2026-01-01&$top=5&%24top=1&$skiptoken=<redacted>&sig=<redacted> timeout"},
		{"Authorization: Bearer " + jwt, "Authorization: Bearer <redacted>"},
		{"token " + jwt + " is refused", "token <redacted> is refused"},
		{"Splunk 11111111-2222-3333-4444-555555555555", "Splunk <redacted>"},
		{"basic authentication is refused, bearer of news", "basic authentication is refused, bearer of news"},
		{"client_secret=abc&grant_type=client_credentials", "client_secret=<redacted>&grant_type=<redacted>"},
		{"the secret abc8Q~0123456789012345678901234567890 is wrong", "the secret <redacted> is wrong"},
		{"acquire token: AADSTS7000222: the client secret expired", "acquire token: AADSTS7000222: the client secret expired"},
		{"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- x", "<redacted> x"},
		{`host replied with status 400 "{\"a\":\"b\"}": check endpoints`, `host replied with status 400 "<left out>": check endpoints`},
		{`host replied with status 400, code 6 "event {\"a\":1}"`, `host replied with status 400, code 6 "<left out>"`},
		{"https://user:it's@host.example.com/x", "https://<redacted>@host.example.com/x"},
		{"the cluster replied with status 400, document_parsing_exception: failed to parse [ip], preview of the value: 'anna@contoso.com': check it",
			"the cluster replied with status 400, document_parsing_exception: <left out>"},
		{"es.example.com replied with status 429: the words", "es.example.com replied with status 429: <left out>"},
		{"produce to topic \"x\" partition 0: record refused: the value anna", "produce to topic \"x\" partition 0: record refused: <left out>"},
		{"c.example.com refuses a token that it took before: a new one is fetched: no anna", "c.example.com refuses a token that it took before: a new one is fetched: <left out>"},
		{`split page: syntax: http status 200, content type "a", begins with "{\"value\":[{\"id\":1"`, `split page: syntax: http status 200, content type "a", begins with "<left out>"`},
		{"read secret file /run/secrets/graph: no such file", "read secret file /run/secrets/graph: no such file"},
		{"request 5b3b4f0a-6c1d-4e2f-8a90-b1c2d3e4f506 of contoso.onmicrosoft.com", "request 5b3b4f0a-6c1d-4e2f-8a90-b1c2d3e4f506 of contoso.onmicrosoft.com"},
	}
	for _, tt := range tests {
		if got := Scrub(tt.text); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.text, got, tt.want)
		}
		// The same inside of JSON, inside of a line that a console would show.
		quoted, err := json.Marshal(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		line := "15:04:05.000\tWARN\tx\t{\"error\": " + string(quoted) + ", \"n\": 5}"
		var inside struct {
			Error string
			N     int
		}
		if err := json.Unmarshal([]byte(ScrubJSON(line)[len("15:04:05.000\tWARN\tx\t"):]), &inside); err != nil || inside.Error != tt.want || inside.N != 5 {
			t.Errorf("%s\n gives %+v, %v", line, inside, err)
		}
	}
}

func TestScrubJSONKnowsNames(t *testing.T) {
	const line = `{"level":"info","code":"ABCD1234","client_secret": "x","accessToken":"y","token_file":"/a","Password":"z\"z","list":["token","v"],"tokens":3,"token":7}`
	const want = `{"level":"info","code":"<redacted>","client_secret": "<redacted>","accessToken":"<redacted>","token_file":"/a","Password":"<redacted>","list":["token","v"],"tokens":3,"token":7}`
	if got := ScrubJSON(line); got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
}

func TestScrubJSONOfACutLine(t *testing.T) {
	const text = `{"msg":"a","error":"host replied with status 400 \"anna` + "\n" + `x token=abc {"code":"b"}` + "\n" + `{"n":1}`
	const want = `{"msg":"a","error":"<redacted>` + "\n" + `x token=<redacted> {"code":"<redacted>"}` + "\n" + `{"n":1}`
	if got := ScrubJSON(text); got != want {
		t.Errorf(" got %s\nwant %s", got, want)
	}
}
