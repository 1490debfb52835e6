package e2e_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestAzureAD: run --once reads the older API to its end, over several pages, and delivers each record of its two streams once,
// as it was sent; a second run finds nothing new.
func TestAzureAD(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var made []simulator.Generate
	for _, stream := range []string{simulator.Interactive, simulator.Audits} {
		made = append(made, simulator.Generate{Stream: stream, Rate: 1.2, Since: now.Add(2*time.Minute - start), Until: now.Add(-time.Minute)})
	}
	g := newGraph(t, simulator.Options{Generate: made})
	config := g.write(t, "c.yaml", g.source("api: azuread"), "", "name: archive\nschema: raw\nfile: {path: \""+g.file("out/{stream}.ndjson")+"\"}")
	logferry(t, "check", "-c", config).wants(t, 0)
	runOnce(t, config, 0)
	var want, got []string
	for row := range g.Expected(time.Now()) {
		want = append(want, row.Stream+" "+row.ID)
	}
	for _, a := range g.archived(t) {
		var record struct {
			ID           string `json:"id"`
			SignIn       string `json:"signinDateTime"`
			ActivityDate string `json:"activityDate"`
		}
		if err := json.Unmarshal(a.body, &record); err != nil || record.SignIn == "" == (record.ActivityDate == "") {
			t.Fatalf("no record of this API: %s %v", a.body, err)
		}
		got = append(got, a.stream+" "+record.ID)
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 5000 || !slices.Equal(got, want) {
		t.Errorf("%d records have arrived, want %d", len(got), len(want))
	}
	s, _ := runOnce(t, config, 0)
	for name, stream := range s.Streams {
		if stream.New+stream.Updated > 0 || !strings.HasPrefix(name, "contoso/") {
			t.Errorf("%s: %+v", name, stream)
		}
	}
	if n := g.Stats().Requests["other"]; n > 0 || len(s.Streams) != 2 {
		t.Errorf("%d requests for something else, %d streams", n, len(s.Streams))
	}
}
