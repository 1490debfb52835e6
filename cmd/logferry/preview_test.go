package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const previewSignIn = `{"id":"a","createdDateTime":"2026-03-04T05:06:07Z","userPrincipalName":"User.One@contoso.com","sessionId":"s1","status":{"errorCode":50074}}`

// previews writes a file and runs logferry preview on it.
func previews(t *testing.T, text string, args ...string) (code int, stdout, stderr, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "records.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = logferry(t.Context(), append(append([]string{"preview", "--stream", "signins.interactive"}, args...), file)...)
	return code, stdout, stderr, file
}

// TestPreviewForms: every form of file gives the same events, each on its line.
func TestPreviewForms(t *testing.T) {
	for name, text := range map[string]string{
		"NDJSON":     previewSignIn + "\n" + previewSignIn + "\r\n",
		"array":      "[\n" + previewSignIn + ",\n" + previewSignIn + "]\n",
		"page":       `{"@odata.context":"x","value":[` + previewSignIn + ",\n" + previewSignIn + `],"@odata.nextLink":"https://graph.example.com/x"}`,
		"two pages":  `{"value":[` + previewSignIn + `]}` + "\n" + `{"value":[` + previewSignIn + `]}`,
		"with a BOM": "\ufeff" + previewSignIn + previewSignIn,
	} {
		code, out, errs, _ := previews(t, text, "--schema", "ecs", "--option", "raw=drop")
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if code != 0 || errs != "" || len(lines) != 2 || lines[0] != lines[1] {
			t.Errorf("%s: exit %d\n%s%s", name, code, out, errs)
			continue
		}
		var event struct {
			Time  string `json:"@timestamp"`
			Event struct{ ID, Code string }
			User  struct{ Name string }
			Entra any
		}
		if err := json.Unmarshal([]byte(lines[0]), &event); err != nil || event.Time != "2026-03-04T05:06:07Z" || event.Event.ID != "a" || event.Event.Code != "50074" || event.User.Name != "user.one@contoso.com" || event.Entra != nil {
			t.Errorf("%s: %v: %s", name, err, lines[0])
		}
	}
}

func TestPreviewLegacy(t *testing.T) {
	code, out, errs, _ := previews(t, `{"value":[{"id":"a","signinDateTime":"2018-08-20T15:16:45Z","loginStatus":"Failure","signinErrorCode":50126,"deviceInformation":"PC1;Windows 10;Chrome 68.0;"}]}`, "--schema", "ecs")
	for _, want := range []string{`"outcome":"failure"`, `"code":"50126"`, `"hosts":["PC1"]`, `"@timestamp":"2018-08-20T15:16:45Z"`} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %s: %s%s", code, want, out, errs)
		}
	}
}

// TestPreviewSideBySide: a line for each member says what came of it; a minus that it stays in the record.
func TestPreviewSideBySide(t *testing.T) {
	code, out, errs, _ := previews(t, previewSignIn)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	fields := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		if parts := strings.Fields(line); len(parts) > 3 && parts[2] == "ecs" {
			fields[parts[0]] = strings.Join(parts[3:], " ")
		}
	}
	for member, want := range map[string]string{
		"id": "event.id", "createdDateTime": "@timestamp", "sessionId": "-",
		"userPrincipalName": "related.user, user.domain, user.email, user.name",
		"status.errorCode":  "event.code, logferry.signin.password_accepted, logferry.signin.result",
	} {
		if fields[member] != want {
			t.Errorf("%s became %q, want %q\n%s", member, fields[member], want, out)
		}
	}
}

func TestPreviewSize(t *testing.T) {
	code, out, _, _ := previews(t, previewSignIn+"\n"+previewSignIn, "--size", "--schema", "raw")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 3 || strings.Join(strings.Fields(lines[2]), " ") != fmt.Sprintf("raw 2 %d %d %[2]d %[2]d", 2*len(previewSignIn), len(previewSignIn)) {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// TestPreviewErrors name the file and the line, or the flag.
func TestPreviewErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		args       []string
		code       int
		want       string // FILE stands for the file
	}{
		{"broken line", previewSignIn + "\n" + previewSignIn + "\n{\"id\":}\n", []string{"--schema", "ecs"}, 1, "FILE:3: "},
		{"cut short", "{\"value\":[\n" + previewSignIn + ",\n", []string{"--schema", "ecs"}, 1, "FILE:3: "},
		{"no record", previewSignIn + "\n7", nil, 1, "FILE:2: want a record"},
		{"an error of the API", `{"error":{"code":"Authorization_RequestDenied","message":"no"}}`, nil, 1, "FILE:1: this is the API's error and no record"},
		{"element", "[\n" + previewSignIn + ",\n[]]", []string{"--schema", "ecs"}, 1, "FILE:3: "},
		{"not UTF-8", previewSignIn + "\n{\"id\":\"\xff\"}", nil, 1, "FILE:2: not UTF-8"},
		{"empty", " \n", nil, 1, "FILE: no records"},
		{"schema", previewSignIn, []string{"--schema", "csv"}, 2, `unknown schema "csv": there are`},
		{"option", previewSignIn, []string{"--schema", "ecs", "--option", "raw=maybe"}, 2, "keep, drop"},
		{"option alone", previewSignIn, []string{"--option", "raw=drop"}, 2, "--option needs --schema"},
		{"stream", previewSignIn, []string{"--stream", "logins"}, 2, "signins.interactive"},
	} {
		code, _, errs, file := previews(t, c.text, c.args...)
		if want := strings.ReplaceAll(c.want, "FILE", file); code != c.code || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %s; want %d, %s", c.name, code, errs, c.code, want)
		}
	}
	if code, _, errs := logferry(t.Context(), "preview", "--stream", "audits"); code != 2 || !strings.Contains(errs, "name a file") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestPreviewUnknown: what the tables do not know is told on standard error, once.
func TestPreviewUnknown(t *testing.T) {
	code, _, errs, _ := previews(t, `{"id":"a","brandNew":1}`+"\n"+`{"id":"b","brandNew":1}`, "--schema", "ecs")
	if code != 0 || strings.Count(errs, "signins.interactive: not known: brandNew\n") != 1 {
		t.Errorf("exit %d: %q", code, errs)
	}
}
