package elastic

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	event := sample(0, "signins.interactive", `{"@timestamp":"2026-03-01T00:00:00Z","text":"Zo\u00eb ☃"}`)
	event.Key.Tenant = "Contoso.example.com"
	id := event.EventID.String()
	for name, want := range map[string]string{
		"entra":                       "entra",
		"logs-entra.{family}-default": "logs-entra.signins-default",
		"{stream}_{tenant}_{date}":    "signins.interactive_contoso.example.com_2026-03-01",
	} {
		to, err := newTarget(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := `{"create":{"_index":"` + want + `","_id":"` + id + `"}}` + "\n" + string(event.Body) + "\n"
		if got := string(to.append(nil, &event)); got != lines {
			t.Errorf("%s is written as\n%s, want\n%s", name, got, lines)
		}
	}
	if _, err := newTarget("{user}"); err == nil {
		t.Error("an unknown placeholder is taken")
	}
}

// TestEncodeZip: what is compressed reads as what is not, across chunks and with memory that is used again.
func TestEncodeZip(t *testing.T) {
	to, err := newTarget("logs-entra.{family}-default")
	if err != nil {
		t.Fatal(err)
	}
	events := samples(500)
	for i := range events {
		events[i].Body = []byte(`{"x":"` + strings.Repeat("x", 7*i) + `"}`)
	}
	zipped, plain := newBuffer(), newBuffer()
	for _, n := range []int{500, 1, 300} {
		r, err := gzip.NewReader(bytes.NewReader(zipped.encode(&to, events[:n], true)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if want := plain.encode(&to, events[:n], false); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d events: %d bytes, %v; want %d", n, len(got), err, len(want))
		}
	}
	if got := testing.AllocsPerRun(10, func() { zipped.encode(&to, events, true) }); got > 0 {
		t.Errorf("%.0f allocations for a request of 500 events", got)
	}
}
