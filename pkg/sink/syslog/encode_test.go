package syslog

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

var update = flag.Bool("update", false, "write the golden files anew")

const tenant = "11111111-2222-3333-4444-555555555555"

func newEvent(n int, body string) event.Event {
	ev := event.Event{Body: []byte(body), Record: event.Record{
		Key:    event.StreamKey{Cloud: "global", Tenant: tenant, Stream: "signins.interactive"},
		ID:     strconv.Itoa(n),
		Time:   time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC),
		Digest: event.Digest(n),
	}}
	ev.EventID = ev.Record.EventID()
	return ev
}

func TestFrameGolden(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		edit func(*event.Event)
	}{
		{"defaults", Config{}, nil},
		{"named", Config{Facility: "audit", AppName: "entra", Hostname: "relay.example.com", EnterpriseID: 99999}, nil},
		{"byte order mark", Config{BOM: true}, nil},
		{"family without a dot", Config{}, func(e *event.Event) { e.Key.Stream = "audits" }},
		{"other zone, whole second", Config{}, func(e *event.Event) {
			e.Time = time.Date(2026, 3, 1, 1, 2, 3, 0, time.FixedZone("", -3600))
		}},
		{"no time", Config{}, func(e *event.Event) { e.Time = time.Time{} }},
		{"year 10000", Config{}, func(e *event.Event) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"escaped parameter", Config{}, func(e *event.Event) { e.Key.Stream, e.Key.Tenant = `a]b"c\d=e`, "é\xff ü" }},
		{"nothing known", Config{}, func(e *event.Event) { e.Key = event.StreamKey{}; e.Body = nil }},
		{"white space in JSON", Config{}, func(e *event.Event) { e.Body = []byte("{\r\n\t\"a\": \"b\\n\"\n}") }},
		{"control characters in text", Config{}, func(e *event.Event) { e.Body = []byte("LEEF:1.0|a\tb=c\r\nd\x00\x1b") }},
		{"cut between characters", Config{MaxMessageBytes: 2048}, func(e *event.Event) {
			e.Body = []byte(`{"name":"` + strings.Repeat("\U0001F600", 600) + `"}`)
		}},
	}
	var got bytes.Buffer
	for _, tt := range tests {
		ev := newEvent(1, `{"user":{"name":"ana@contoso.com"}}`)
		if tt.edit != nil {
			tt.edit(&ev)
		}
		frame, _ := newEncoder(tt.cfg.withDefaults()).frame(nil, &ev)
		got.WriteString("# " + tt.name + "\n" + strconv.QuoteToGraphic(string(frame)) + "\n")
	}
	golden := filepath.Join("testdata", "frames.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("frames differ (-want +got), -update accepts them:\n%s", diff)
	}
}

// TestFrameLimit walks a body over the limit octet by octet: a message is never larger, and whole for as long as it can be.
func TestFrameLimit(t *testing.T) {
	enc := newEncoder(Config{MaxMessageBytes: 2048}.withDefaults())
	probe := newEvent(1, "")
	enc.header(&probe, 0)
	room := 2048 - len(enc.head)
	for n := room - 5; n <= room+5; n++ {
		ev := newEvent(1, strings.Repeat("é", n/2)+strings.Repeat("x", n%2))
		frame, how := enc.frame(nil, &ev)
		m := mustRead(t, frame)
		if m.size > 2048 {
			t.Errorf("body of %d: message has %d octets", n, m.size)
		}
		if want := n > room; (how == cut) != want {
			t.Errorf("body of %d of %d: cut = %v", n, room, how == cut)
		}
		if how == cut && (m.params["truncated"] != "1" || m.params["orig_len"] != strconv.Itoa(n) || m.size < 2047) {
			t.Errorf("body of %d: %v, %d octets", n, m.params, m.size)
		}
		if !utf8.ValidString(m.body) {
			t.Errorf("body of %d: cut inside a character", n)
		}
	}
}

func TestHasControl(t *testing.T) {
	for size := range 20 {
		for at := range size {
			for c := range 256 {
				b := bytes.Repeat([]byte{0xff}, size)
				b[at] = byte(c)
				if got, want := hasControl(b), c < ' '; got != want {
					t.Fatalf("octet %#x at %d of %d: %v", c, at, size, got)
				}
			}
		}
	}
}

func mustRead(t *testing.T, frame []byte) message {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(frame))
	s, err := readFrame(r)
	if err != nil {
		t.Fatalf("read %q: %v", frame, err)
	}
	if r.Buffered() > 0 {
		t.Fatalf("%d octets behind the frame", r.Buffered())
	}
	m, err := parse(s)
	if err != nil {
		t.Fatalf("parse %q: %v", s, err)
	}
	return m
}

// FuzzFrame has an independent parser read what was encoded.
func FuzzFrame(f *testing.F) {
	f.Add("tenant", "signins.interactive", "host", `{"a":1}`, int64(1_770_000_000), uint16(0), false)
	f.Add(`]"\`, "\xff\xfe", "hö st", "a\nb\r\t\x00", int64(-1), uint16(3000), true)
	f.Add(strings.Repeat("é", 300), strings.Repeat("]", 300), strings.Repeat("h", 300), strings.Repeat("\n", 4000), int64(1<<40), uint16(0), true)
	f.Fuzz(func(t *testing.T, tenant, stream, host, body string, sec int64, max uint16, bom bool) {
		cfg := Config{Hostname: host, BOM: bom, MaxMessageBytes: minMessage}
		enc := newEncoder(cfg.withDefaults())
		enc.max += int(max)
		ev := newEvent(7, body)
		ev.Key.Tenant, ev.Key.Stream, ev.Time = tenant, stream, time.Unix(sec, 0)
		frame, how := enc.frame([]byte("before"), &ev)
		m := mustRead(t, frame[len("before"):])

		if m.size > enc.max || m.pri != 20*8+6 || m.app != "logferry" || m.sdID != "logferry@32473" || m.procID != "-" {
			t.Errorf("message of %d octets: %+v", m.size, m)
		}
		if m.params["event_id"] != ev.EventID.String() {
			t.Errorf("event_id %q", m.params["event_id"])
		}
		for name, want := range map[string]string{"tenant": tenant, "stream": stream} {
			if len(want) <= maxParam && utf8.ValidString(want) && m.params[name] != want {
				t.Errorf("%s is %q, want %q", name, m.params[name], want)
			}
		}
		got := m.body
		if bom {
			got = strings.TrimPrefix(got, "\xef\xbb\xbf")
			if len(got)+3 != len(m.body) {
				t.Error("no byte order mark")
			}
		}
		if hasControl([]byte(strings.ReplaceAll(got, "\t", ""))) {
			t.Errorf("control characters in %q", got)
		}
		plain := !hasControl([]byte(body))
		if plain && how == whole && got != body || plain && !strings.HasPrefix(body, got) {
			t.Errorf("body is %q, want %q", got, body)
		}
		if cutMarked := m.params["truncated"] == "1"; cutMarked != (how == cut) {
			t.Errorf("cut %v, marked %v", how == cut, cutMarked)
		}
		if utf8.ValidString(body) && !utf8.ValidString(got) {
			t.Error("a character was split")
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	ev := newEvent(1, `{"a":"`+strings.Repeat("0123456789", 280)+`"}`)
	enc := newEncoder(Config{}.withDefaults())
	var buf []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(ev.Body)))
	for b.Loop() {
		buf, _ = enc.frame(buf[:0], &ev)
	}
}
