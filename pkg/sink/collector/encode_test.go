package collector

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// TestArray: whatever the events hold, the body is one JSON array with each of them in its place.
func TestArray(t *testing.T) {
	bodies := []string{`{"a":1}`, `{"text":"],[ \" \\ \u0000 ☃"}`, "{\n}", `{}`, `{"z":[1,2,{"y":"]"}]}`}
	texts := []string{`CEF:0|a|b "quoted" \ back`, "tab\t, line\n, bell\a", "not UTF-8: \xff\xfe", "☃\u2028", ""}
	for n := 1; n <= len(bodies); n++ {
		for _, text := range []bool{false, true} {
			f, in := format{array: true, text: text}, bodies
			if text {
				in = texts
			}
			var out []byte
			for i := range n {
				out = f.append(out, i, n, []byte(in[i]))
			}
			var got []any
			if err := json.Unmarshal(out, &got); err != nil || len(got) != n {
				t.Fatalf("%d events make %q: %v", n, out, err)
			}
			for i := range n {
				want := any(strings.ToValidUTF8(in[i], "\ufffd\ufffd"))
				if !text {
					if err := json.Unmarshal([]byte(in[i]), &want); err != nil {
						t.Fatal(err)
					}
				}
				if fmt.Sprint(got[i]) != fmt.Sprint(want) {
					t.Errorf("event %d of %d is %q, want %q", i, n, got[i], want)
				}
			}
		}
	}
}

// TestLines: a line each, and a body with a line end is kept back, as it would become two.
func TestLines(t *testing.T) {
	c := newReceiver(t)
	s := newSink(t, c, func(cfg *Config) { cfg.MaxEventBytes = 100 })
	events := posttest.Samples(4)
	events[1].Body, events[3].Body = []byte("{\n}"), []byte(`{"x":"`+strings.Repeat("x", 200)+`"}`)
	err := s.Send(t.Context(), events)
	if posttest.Outcome(err) != "partial" || c.asked() != 0 {
		t.Errorf("%d requests, %v", c.asked(), err)
	}
	if err := newSink(t, c, func(cfg *Config) { cfg.Format = array }).Send(t.Context(), events[:3]); err != nil || c.asked() != 1 {
		t.Errorf("in an array: %d requests, %v", c.asked(), err)
	}
}

func TestContentType(t *testing.T) {
	for _, tt := range []struct{ schema, format, set, want string }{
		{"ecs", "", "", "application/x-ndjson"}, {"ecs", "array", "", "application/json"},
		{"cef", "", "", "text/plain; charset=utf-8"}, {"cef", "array", "", "application/json"}, {"ecs", "", "application/json", "application/json"},
	} {
		cfg := Config{Common: post.Common{Endpoints: []string{"https://example.com"}}, Format: tt.format, ContentType: tt.set}
		s, err := New(cfg, event.Schema{Name: tt.schema}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.header.Get("Content-Type"); got != tt.want {
			t.Errorf("%s as %s: %q, want %q", tt.schema, tt.format, got, tt.want)
		}
	}
}

// TestKey: the same events have the same key, any others another one.
func TestKey(t *testing.T) {
	events := posttest.Samples(3)
	keys := map[string]string{}
	for name, of := range map[string][]event.Event{
		"all": events, "two": events[:2], "others": events[1:], "order": {events[1], events[0], events[2]}, "none": nil,
	} {
		key := keyOf(of)
		if other, taken := keys[key]; taken || len(key) != 22 {
			t.Errorf("%s and %s have the key %q", name, other, key)
		}
		keys[key] = name
	}
	if keyOf(posttest.Samples(3)) != keyOf(events) {
		t.Error("the same events have two keys")
	}
}
