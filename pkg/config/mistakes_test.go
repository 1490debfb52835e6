package config

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMistakes: what the terminal shows for mistakes that are often made, with its place and the way out. Those without a message are
// none to logferry.
func TestMistakes(t *testing.T) {
	swap := func(from, to string) string {
		text := strings.Replace(minimal[1:], from, to, 1)
		if text == minimal[1:] {
			t.Fatalf("%q changes nothing", from)
		}
		return text
	}
	windows := func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
	var out strings.Builder
	for _, m := range []struct{ name, text string }{
		{"a tab for the indent", swap("    entra:", "\tentra:")},
		{"a tab further in", swap("      tenant:", "    \ttenant:")},
		{"a tab behind the colon", swap("tenant: ", "tenant:\t")},
		{"one blank too few", swap("      tenant:", "     tenant:")},
		{"one blank too many", swap("      auth:", "       auth:")},
		{"a key of the block above", swap("      auth:", "    auth:")},
		{"a key of the block below", swap("    entra:", "    tenant: x\n    entra:")},
		{"a list for a block", swap("    stdout: {}", "    file:\n      - path: ./x")},
		{"a dash too many", swap("    stdout: {}", "    - stdout: {}")},
		{"a block for a list", swap("  - name: console\n    stdout: {}", "  name: console\n  stdout: {}")},
		{"one text for a list", swap("stdout: {}", "splunk: {endpoints: 'https://splunk.example.com:8088', token_file: /t}")},
		{"a misspelt key", swap("client_secret_file", "client_secrets_file")},
		{"a key in another style", swap("client_id", "clientId")},
		{"a key joined in another way", swap("client_secret_file", "clientSecretFile")},
		{"half of a key", swap("client_secret_file", "secret-file")},
		{"a longer key", swap("      tenant:", "      tenant_id: x\n      tenant:")},
		{"a key that there is not", swap("stdout: {}", "stdout: {}\n    retries: 3")},
		{"a misspelt block", swap("sinks:", "outputs:")},
		{"a duration in words", swap("      tenant:", "      start: 7 days\n      tenant:")},
		{"a duration without a unit", swap("      tenant:", "      poll: 60\n      tenant:")},
		{"a size in words", "state: {journal_max_bytes: 8 gigs}\n" + minimal[1:]},
		{"a size of Kubernetes", "state: {journal_max_bytes: 8G}\n" + minimal[1:]},
		{"a number for a text", swap("name: console", "name: 12")},
		{"a text for a number", swap("      tenant:", "      top: many\n      tenant:")},
		{"yes for true", swap("    stdout: {}", "    paused: yes\n    stdout: {}")},
		{"an empty file", ""},
		{"comments alone", "# sources:\n"},
		{"a text alone", "contoso\n"},
		{"a list alone", "- contoso\n"},
		{"two documents", minimal[1:] + "---\nlog: {level: debug}\n"},
		{"the same twice", minimal[1:] + "---\n" + minimal[1:]},
		{"a key twice", swap("    stdout: {}", "    stdout: {}\n    stdout: {}")},
		{"a block twice", minimal[1:] + "sources: []\n"},
		{"an anchor", swap("stdout: {}", "stdout: &x {}")},
		{"an alias", swap("stdout: {}", "stdout: *x")},
		{"a merge key", swap("    stdout: {}", "    <<: *x\n    stdout: {}")},
		{"no sinks", strings.Split(minimal[1:], "sinks:")[0]},
		{"sinks without an entry", strings.Split(minimal[1:], "sinks:")[0] + "sinks:\n"},
		{"line ends of Windows", windows(minimal[1:])},
		{"line ends of Windows, and a mistake", windows(swap("tenant:", "tennant:"))},
		{"a byte order mark", "\uFEFF" + minimal[1:]},
		{"a byte order mark, and a mistake", "\uFEFF" + swap("sources:", "source:")},
		{"UTF-16", "\xff\xfes\x00o\x00"},
		{"a variable that is not set", swap("contoso.onmicrosoft.com", "${env:LOGFERRY_TEST_UNSET}")},
		{"a variable as shells write it", swap("contoso.onmicrosoft.com", "${TENANT}")},
		{"a variable without its end", swap("contoso.onmicrosoft.com", "\"${env:TENANT\"")},
		{"a variable in a variable", swap("contoso.onmicrosoft.com", "\"${env:LOGFERRY_TEST_UNSET:-${env:B}}\"")},
		{"no blank behind the colon", swap("tenant: ", "tenant:")},
		{"no colon", swap("sinks:", "sinks")},
		{"a quote without its end", swap("contoso.onmicrosoft.com", "\"contoso.onmicrosoft.com")},
		{"a brace without its end", swap("graph}", "graph")},
		{"a bracket without its end", swap("stdout: {}", "stdout: {}\n    streams: [audits")},
		{"a placeholder without quotes", swap("stdout: {}", "file:\n      path: {stream}.ndjson")},
		{"a placeholder without quotes in braces", swap("stdout: {}", "file: {path: {stream}.ndjson}")},
		{"a star without quotes", swap("    stdout: {}", "    streams: [*]\n    stdout: {}")},
		{"an at sign without quotes", swap("name: console", "name: @console")},
		{"a colon without quotes", swap("    stdout: {}", "    was: old: sink\n    stdout: {}")},
		{"a secret in clear", swap("client_secret_file: /run/secrets/graph", "client_secret: hunter2")},
		{"a block without its braces", swap("stdout: {}", "stdout:")},
		{"an address without its port", "admin: {listen: localhost}\n" + minimal[1:]},
	} {
		_, err := Parse("logferry.yaml", []byte(m.text), schemas(t))
		var invalid *Invalid
		switch {
		case err == nil:
			out.WriteString(m.name + "\n    is taken\n")
			continue
		case !errors.As(err, &invalid):
			t.Errorf("%s: %v", m.name, err)
		case strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error quotes the secret: %v", m.name, err)
		}
		out.WriteString(m.name + "\n    " + strings.ReplaceAll(err.Error(), "\n", "\n    ") + "\n")
	}
	const golden = "testdata/mistakes.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("renew with -update:\n%s", diff)
	}
}
