package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// cluster is an OpenSearch, spoken to by plain HTTP.
type cluster struct{ url string }

// newCluster starts one with the templates that deploy/elastic has for it, installed as the README there says.
func newCluster(t *testing.T) cluster {
	t.Helper()
	c := cluster{"http://" + receive(t, "opensearchpeer", t.TempDir()).Address}
	for _, template := range [][2]string{
		{"_component_template/logferry-ecs", "component-ecs.json"},
		{"_component_template/logferry-record", "component-record-opensearch.json"},
		{"_index_template/logferry", "index-template.json"},
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "elastic", template[1]))
		if err != nil {
			t.Fatal(err)
		}
		c.put(t, template[0], string(text))
	}
	return c
}

func (c cluster) put(t *testing.T, path, body string) {
	t.Helper()
	c.do(t, http.MethodPut, path, body, nil)
}

// get decodes the reply to a GET.
func (c cluster) get(t *testing.T, path string, to any) {
	t.Helper()
	c.do(t, http.MethodGet, path, "", to)
}

func (c cluster) do(t *testing.T, method, path, body string, to any) {
	t.Helper()
	req, err := http.NewRequest(method, c.url+"/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %s", resp.Status)
	}
	if err == nil && to != nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%.2000s", method, path, err, text)
	}
}

// stored gives what the indices or data streams of that name hold.
func (c cluster) stored(t *testing.T, name string) []arrival {
	t.Helper()
	c.do(t, http.MethodPost, name+"/_refresh", "", nil)
	var found struct {
		Hits struct {
			Total struct{ Value int }
			Hits  []struct {
				Index  string          `json:"_index"`
				ID     string          `json:"_id"`
				Source json.RawMessage `json:"_source"`
			}
		}
	}
	c.get(t, name+"/_search?size=10000", &found)
	var all []arrival
	for _, hit := range found.Hits.Hits {
		var m mapped
		if err := json.Unmarshal(hit.Source, &m); err != nil {
			t.Fatal(err)
		}
		family, _, _ := strings.Cut(m.Logferry.Stream, ".")
		if dataStream := ".ds-logs-entra." + family + "-default-"; strings.HasPrefix(name, "logs-") && !strings.HasPrefix(hit.Index, dataStream) {
			t.Errorf("an event of %s is in %s", m.Logferry.Stream, hit.Index)
		}
		all = append(all, arrival{id: hit.ID, body: hit.Source})
	}
	if len(all) != found.Hits.Total.Value {
		t.Fatalf("%d of %d events were read from %s", len(all), found.Hits.Total.Value, name)
	}
	return all
}

// fields counts as the limit does: every field, objects too.
func (c cluster) fields(t *testing.T, name string) int {
	t.Helper()
	var replies map[string]struct{ Mappings mappedField }
	c.get(t, name+"/_mapping", &replies)
	most := 0
	for _, reply := range replies {
		most = max(most, reply.Mappings.count())
	}
	return most
}

type mappedField struct{ Properties, Fields map[string]mappedField }

func (m mappedField) count() int {
	n := len(m.Properties) + len(m.Fields)
	for _, sub := range m.Properties {
		n += sub.count()
	}
	return n
}

// TestOpenSearch has one node for all, which takes seconds to start.
func TestOpenSearch(t *testing.T) {
	t.Parallel()
	need(t, "opensearchpeer")
	c := newCluster(t)
	for name, test := range map[string]func(*testing.T, cluster){"once": openSearchOnce, "misfit": openSearchMisfit, "blocks": openSearchBlocks} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

// openSearchOnce: the data streams that our templates make hold each version of each record once, under its own id and letter by
// letter, also after a run whose state was thrown away; and the mapping does not grow with what the records hold.
func openSearchOnce(t *testing.T, c cluster) {
	g := newGraph(t, simulator.Options{})
	g.addOdd(t)
	g.addVaried(t, 400)
	config := g.config(t, "c.yaml", "", "name: elastic\nelastic: {endpoints: ["+c.url+"], batch: {events: 100}}")
	want := g.twice(t, config)
	compare(t, "OpenSearch", want, c.stored(t, "logs-entra.*"))

	if err := os.RemoveAll(g.file("state")); err != nil {
		t.Fatal(err)
	}
	again := g.run(t, config)
	want = g.shown(t)
	got := c.stored(t, "logs-entra.*")
	compare(t, "OpenSearch after a run without memory", want, got)
	if n := again.Sinks["elastic"].Delivered; n < 500 {
		t.Errorf("%d events were sent again: the test proves too little", n)
	}
	fields := c.fields(t, "logs-entra.*")
	t.Logf("%d events, %d sent twice; %d fields in the mapping", len(got), again.Sinks["elastic"].Delivered, fields)
	if fields < 100 || fields > 200 || len(got) < 1000 {
		t.Errorf("%d events have made %d fields, of 1,000 that an index may have", len(got), fields)
	}
}

// addVaried puts records into the graph whose members have names of their own: four fields each where a mapping grows with them.
func (g *graph) addVaried(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		at := g.base.Add(-20*time.Minute + time.Duration(i)*time.Second).UTC()
		raw := fmt.Sprintf(`{"id":"varied-%[1]d","createdDateTime":"%[2]s","extra%[1]d":{"a%[1]d":%[1]d,"b%[1]d":"x","c%[1]d":[true]}}`, i, at.Format(time.RFC3339))
		if err := g.Add(simulator.NonInteractive, simulator.Record{Raw: []byte(raw), Time: at}); err != nil {
			t.Fatal(err)
		}
	}
}

// openSearchMisfit: a record that breaks the mapping becomes a dead letter with the server's words, alone.
func openSearchMisfit(t *testing.T, c cluster) {
	g := newGraph(t, simulator.Options{})
	at := g.base.Add(-10 * time.Minute).UTC()
	raw := `{"id":"misfit","createdDateTime":"` + at.Format(time.RFC3339) + `","misfit":"a text"}`
	if err := g.Add(simulator.Interactive, simulator.Record{Raw: []byte(raw), Time: at}); err != nil {
		t.Fatal(err)
	}
	c.put(t, "narrow", `{"mappings": {"dynamic": false, "properties": {"entra": {"properties": {"misfit": {"type": "long"}}}}}}`)
	config := g.config(t, "c.yaml", "", "name: elastic\nelastic: {endpoints: ["+c.url+"], index: narrow}")
	s, _ := runOnce(t, config, 3)
	want := g.shown(t)
	for id, r := range want {
		if r.ID == "misfit" {
			delete(want, id)
		}
	}
	if sink := s.Sinks["elastic"]; sink.Dead != 1 || sink.Pending != 0 || sink.Delivered != uint64(len(want)) {
		t.Errorf("summary of the sink: %+v of %d and one more", sink, len(want))
	}
	compare(t, "OpenSearch", want, c.stored(t, "narrow"))
	logferry(t, "dlq", "list", "--json", "-c", config).wants(t, 0, "misfit", "mapper_parsing_exception", "failed to parse field [entra.misfit] of type [long]")
}

// openSearchBlocks: both kinds of read-only block keep a sink waiting, not an event is given up, and the other indices go
// on. All arrives once the blocks are lifted.
func openSearchBlocks(t *testing.T, c cluster) {
	g := newSettled(t)
	var sinks []string
	indices := map[string]string{"free": "", "locked": "index.blocks.write", "flooded": "index.blocks.read_only_allow_delete"}
	for index, block := range indices {
		c.put(t, index, `{"mappings": {"dynamic": false}}`)
		if block != "" {
			c.put(t, index+"/_settings", `{"`+block+`": true}`)
		}
		sinks = append(sinks, "name: "+index+"\nelastic: {endpoints: ["+c.url+"], index: "+index+"}")
	}
	config := g.config(t, "c.yaml", "", sinks...)
	s, r := runOnce(t, config, 3, "--patience", "2s")
	want, told := g.shown(t), map[string]bool{}
	for index, block := range indices {
		delivered, pending := uint64(len(want)), uint64(0)
		if block != "" {
			delivered, pending = 0, delivered
		}
		if sink := s.Sinks[index]; sink.Delivered != delivered || sink.Pending != pending || sink.Dead != 0 {
			t.Errorf("summary of sink %s: %+v of %d", index, sink, len(want))
		}
		if block != "" {
			c.put(t, index+"/_settings", `{"`+block+`": null}`)
		}
	}
	for line := range strings.Lines(r.stderr) {
		for index := range indices {
			if strings.Contains(line, `"sink":"`+index+`"`) && strings.Contains(line, "cluster_block_exception") && strings.Contains(line, `"blocked":true`) {
				told[index] = true
			}
		}
	}
	if !told["locked"] || !told["flooded"] || told["free"] {
		t.Errorf("the log names as blocked: %v\n%s", told, tail(r.stderr, 4000))
	}
	runOnce(t, config, 0)
	for index := range indices {
		compare(t, index, g.shown(t), c.stored(t, index))
	}
}
