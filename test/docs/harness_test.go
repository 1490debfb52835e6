package docs_test

import (
	"strings"
	"testing"
)

// TestBadDocuments: what these tests are there to find, they find.
func TestBadDocuments(t *testing.T) {
	t.Parallel()
	fence := func(lang, text string) string { return "```" + lang + "\n" + text + "\n```\n" }
	for _, tt := range []struct{ name, text, want string }{
		{"good", fence("sh", "x=1\necho $x records") + "<!-- test: output -->\n" + fence("text", "23 records"), ""},
		{"one session", fence("sh", "x=1\nf() { echo $x; }") + fence("sh", "[[ $(f) = 1 ]]"), ""},
		{"a command fails", fence("sh", "false\ntrue"), "exit code 1, want 0"},
		{"a command is not there", fence("sh", "logferyy version"), "exit code 127, want 0"},
		{"a flag is not there", fence("sh", "logferry check --conect"), "exit code 2, want 0"},
		{"another exit code is wanted", "<!-- test: exit 2 -->\n" + fence("sh", "logferry check"), ""},
		{"the exit code that is wanted does not come", "<!-- test: exit 3 -->\n" + fence("sh", "true"), "exit code 0, want 3"},
		{"other output", fence("sh", "echo 23 records") + "<!-- test: output -->\n" + fence("text", "23 rows"), "no such line"},
		{"output in another order", fence("sh", "echo a; echo b") + "<!-- test: output -->\n" + fence("text", "b\na"), "no such line"},
		{"it never says so", "<!-- test: until ready -->\n" + fence("sh", "echo steady"), "ended without saying"},
		{"az with a flag that is not there", fence("sh", "az ad app create --displayname x"), "exit code 2, want 0"},
		{"az with a permission that no stream needs", fence("sh", `[[ -n $(az ad sp show --id x --query "appRoles[?value=='Mail.Read'].id | [0]" --output tsv) ]]`), "exit code 1, want 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parse("x.md", tt.text)
			if err == nil {
				err = newDesk(t).work(t, d)
			}
			if err == nil && tt.want != "" || err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	for _, text := range []string{"<!-- test: outptu -->\n" + fence("text", "x"), "```sh\nx\n", "<!-- test: exit 2 -->\nno block"} {
		if _, err := parse("x.md", text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestElevenNotRun(t *testing.T) {
	for n, bad := range map[int]bool{10: false, 11: true} {
		d, err := parse("x.md", strings.Repeat("```sh\n# not run: needs a tenant\naz login\n```\n", n))
		if err != nil {
			t.Fatal(err)
		}
		run, not := count([]document{d})
		if run != 0 || len(not) != n || (few(not) != nil) != bad {
			t.Errorf("%d blocks not run: %d run, %d not, %v", n, run, len(not), few(not))
		}
	}
}

func TestBrokenLinks(t *testing.T) {
	for link, bad := range map[string]bool{
		"reading.md": false, "reading.md#lateness": false, "#the-budget": false, "../README.md#sinks": false, "../configs": false, "https://github.com/x/y": false,
		"raeding.md": true, "reading.md#latenes": true, "#no-such-heading": true, "../../README.md": true, "http://github.com/x": true, "https://malicious.example/": true, "mailto:a@b": true,
	} {
		if why := broken("docs/reading.md", link); (why != "") != bad {
			t.Errorf("%s: %q", link, why)
		}
	}
}
