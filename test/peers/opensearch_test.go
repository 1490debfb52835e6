package peers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenSearch(t *testing.T) {
	jars := "-jars=" + jarsOf("opensearch")
	requirePeer(t, "opensearchpeer", jars)
	dir := t.TempDir()
	p := start(t, "opensearchpeer", dir, jars)
	bulk := func(p *process, lines string) (statuses []int) {
		t.Helper()
		var reply struct {
			Items []map[string]struct{ Status int }
		}
		text := post(t, http.DefaultClient, "http://"+p.Address+"/_bulk?refresh=true", lines, http.Header{"Content-Type": {"application/x-ndjson"}})
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatal(err)
		}
		for _, item := range reply.Items {
			statuses = append(statuses, item["create"].Status)
		}
		return statuses
	}
	found := func(p *process) string {
		t.Helper()
		var reply struct {
			Hits struct {
				Hits []struct {
					ID     string          `json:"_id"`
					Source json.RawMessage `json:"_source"`
				}
			}
		}
		text := post(t, http.DefaultClient, "http://"+p.Address+"/x/_search?sort=n", "", nil)
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s", reply.Hits.Hits)
	}
	const create = `{"create":{"_index":"x","_id":"%s"}}` + "\n%s\n"
	first := fmt.Sprintf(create, "a", `{"n":1}`)
	if got := bulk(p, first+fmt.Sprintf(create, "b", `{"n":"no number"}`)+first); fmt.Sprint(got) != "[201 400 409]" {
		t.Errorf("a document, one that breaks the mapping and the first again: %v, want 201, 400 and 409", got)
	}
	if got := found(p); got != `[{a {"n":1}}]` {
		t.Errorf("stored %s", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := p.stop(t); err != nil {
		t.Fatalf("stop: %v", err)
	}
	again := start(t, "opensearchpeer", dir, jars, "-port", portOf(t, p.Address))
	if again.Address != p.Address {
		t.Fatalf("address = %s, want %s again", again.Address, p.Address)
	}
	if got := bulk(again, first+fmt.Sprintf(create, "c", `{"n":3}`)); fmt.Sprint(got) != "[409 201]" {
		t.Errorf("the first again and a new one after the restart: %v, want 409 and 201", got)
	}
	if got := found(again); got != `[{a {"n":1}} {c {"n":3}}]` {
		t.Errorf("stored %s after the restart", got)
	}
}

func TestOpenSearchRefusesTLS(t *testing.T) {
	jars := "-jars=" + jarsOf("opensearch")
	requirePeer(t, "opensearchpeer", jars)
	out, err := exec.Command(filepath.Join(bin, "opensearchpeer"), "-dir", t.TempDir(), "-tls", jars).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no TLS") {
		t.Errorf("start with -tls: %v\n%s", err, out)
	}
}
