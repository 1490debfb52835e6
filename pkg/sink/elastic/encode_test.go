package elastic

import (
	"testing"

	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

func TestEncode(t *testing.T) {
	event := posttest.Sample(0, "signins.interactive", `{"@timestamp":"2026-03-01T00:00:00Z","text":"Zo\u00eb ☃"}`)
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
