package app

import (
	"testing"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/normalizer"
)

// TestEachSinkHasItsSchema: a sink renders in the schema and with the options that stand in its block, whatever the others have.
func TestEachSinkHasItsSchema(t *testing.T) {
	a := &App{idle: true}
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("test.yaml", []byte(`
sources: [{name: contoso, entra: {tenant: contoso.example.com, auth: {client_id: 11111111-2222-3333-4444-555555555555, client_secret_file: secret}}}]
sinks:
  - {name: soc, splunk: {endpoints: ["https://splunk.example.com:8088"], token_file: token}}
  - {name: relay, schema: {name: cef, raw: keep}, stdout: {}}
  - {name: lines, schema: cef, stdout: {}}
  - {name: index, schema: {name: ecs, profile: elastic, raw: drop}, stdout: {}}
`), n)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"envelope ", "cef raw=keep", "cef ", "ecs profile=elastic,raw=drop"} {
		outlet, err := a.outlet(cfg.Sinks[i], n)
		if got := outlet.Schema.Name + " " + outlet.Schema.Options; err != nil || got != want {
			t.Errorf("sink %s renders %q, %v, want %q", outlet.Name, got, err, want)
		}
	}
}
