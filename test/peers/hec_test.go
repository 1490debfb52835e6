package peers_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func post(t *testing.T, client *http.Client, url, body string, header http.Header) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("POST %s = %s %s, want 200", url, resp.Status, b)
	}
	return string(b)
}

func TestHEC(t *testing.T) {
	requirePeer(t, "hecpeer")
	p := start(t, "hecpeer", t.TempDir())
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	io.WriteString(z, `{"time":1700000000.5,"host":"h","source":"s","sourcetype":"st","index":"i","fields":{"event_id":"e1"},"event":{"a":{"b":"<1>"}}}`+
		`{"time":1700000001,"event":"text"}`)
	z.Close()
	post(t, http.DefaultClient, "http://"+p.Address+"/services/collector/event", body.String(), http.Header{"Content-Encoding": {"gzip"}})
	got, err := lines[map[string]any](p.Out)
	if err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{
			"time": 1700000000.5e9, "host": "h", "source": "s", "sourcetype": "st", "index": "i",
			"fields": map[string]any{"event_id": "e1"}, "event": map[string]any{"a": map[string]any{"b": "<1>"}},
		},
		{
			"time": 1700000001e9, "host": nil, "source": nil, "sourcetype": nil, "index": nil,
			"fields": map[string]any{}, "event": "text",
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("stored\n%v\nwant\n%v", got, want)
	}
}

func TestHECWithTLSAndAck(t *testing.T) {
	requirePeer(t, "hecpeer")
	p := start(t, "hecpeer", t.TempDir(), "-tls", "-ack")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust(t, p.CA)}}
	defer client.CloseIdleConnections()
	url := "https://" + p.Address + "/services/collector"
	header := http.Header{"X-Splunk-Request-Channel": {"0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba"}}
	var reply struct {
		AckID int `json:"ackId"`
	}
	if err := json.Unmarshal([]byte(post(t, client, url+"/event", `{"event":"x"}`, header)), &reply); err != nil || reply.AckID != 1 {
		t.Fatalf("ackId = %d (%v), want 1", reply.AckID, err)
	}
	acks := post(t, client, url+"/ack", `{"acks":[1,2]}`, header)
	if want := `"1":true`; !strings.Contains(acks, want) || !strings.Contains(acks, `"2":false`) {
		t.Errorf("acks = %s, want 1 true and 2 false", acks)
	}
	if got, err := lines[map[string]any](p.Out); err != nil || len(got) != 1 {
		t.Errorf("stored %v (%v), want one event", got, err)
	}
}

func TestHECRestartsInItsPlace(t *testing.T) {
	requirePeer(t, "hecpeer")
	dir := t.TempDir()
	p := start(t, "hecpeer", dir)
	post(t, http.DefaultClient, "http://"+p.Address+"/services/collector", `{"event":"first"}`, nil)
	http.DefaultClient.CloseIdleConnections()
	if err := p.stop(t); err != nil {
		t.Fatalf("stop: %v", err)
	}
	again := start(t, "hecpeer", dir, "-port", portOf(t, p.Address))
	if again.Address != p.Address {
		t.Fatalf("address = %s, want %s again", again.Address, p.Address)
	}
	post(t, http.DefaultClient, "http://"+again.Address+"/services/collector", `{"event":"second"}`, nil)
	if got, err := lines[map[string]any](again.Out); err != nil || len(got) != 2 {
		t.Errorf("stored %v (%v), want both events", got, err)
	}
}
