package normalizer

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// benchPage is the page that all benchmarks go over: the test records of the family that are whole, once each.
func benchPage(tb testing.TB, family string) (page []event.Record, size int64) {
	tb.Helper()
	records := testRecords(tb)
	for _, name := range slices.Sorted(maps.Keys(records)) {
		rec := records[name]
		rec.Identify() // as the pipeline does
		if rec.Key.Family() == family && len(rec.Raw) > 1000 && !strings.HasSuffix(name, "wrong-types") {
			page = append(page, rec)
			size += int64(len(rec.Raw))
		}
	}
	return page, size
}

func scanPage(page []event.Record) {
	for i := range page {
		r := jsonscan.Reader{Buf: page[i].Raw}
		r.Skip()
	}
}

// render gives a function that renders the page into a buffer that is used again.
func renderPage(tb testing.TB, page []event.Record, name string, options map[string]string) func() {
	tb.Helper()
	n, _ := newNormalizer(tb)
	schema, err := n.Schema(name, options)
	if err != nil {
		tb.Fatal(err)
	}
	buf := make([]byte, 0, 64<<10)
	return func() {
		for i := range page {
			buf, _ = n.Normalize(buf[:0], page[i], schema)
		}
	}
}

// BenchmarkScan passes over a page without looking: what any reader of it costs at least.
func BenchmarkScan(b *testing.B) {
	page, size := benchPage(b, "signins")
	b.SetBytes(size)
	for b.Loop() {
		scanPage(page)
	}
}

// BenchmarkSchema renders pages, and scans them in the same breath: ratio is how many times a scan's time a rendering takes.
func BenchmarkSchema(b *testing.B) {
	for _, family := range []string{"signins", "audits"} {
		page, size := benchPage(b, family)
		for _, name := range Schemas() {
			b.Run(name+"/"+family, func(b *testing.B) { benchRendering(b, page, size, name, nil) })
		}
	}
}

// BenchmarkElastic renders the profile of ecs that repeats the record under other names, in the same way.
func BenchmarkElastic(b *testing.B) {
	for _, family := range []string{"signins", "audits"} {
		page, size := benchPage(b, family)
		b.Run(family, func(b *testing.B) {
			benchRendering(b, page, size, "ecs", map[string]string{"profile": "elastic", "raw": "drop"})
		})
	}
}

func benchRendering(b *testing.B, page []event.Record, size int64, name string, options map[string]string) {
	render := renderPage(b, page, name, options)
	b.SetBytes(size)
	b.ReportAllocs()
	var rendering, scanning time.Duration
	for b.Loop() {
		begun := time.Now()
		render()
		between := time.Now()
		scanPage(page)
		rendering += between.Sub(begun)
		scanning += time.Since(between)
	}
	b.ReportMetric(float64(rendering)/float64(scanning), "ratio")
	b.ReportMetric(float64(rendering.Nanoseconds())/float64(b.N*len(page)), "ns/record")
}

// TestWritersAreCheap holds renderings against the scan of the same run: ECS with the record, the envelope, and the profile that writes the record
// under other names. Audits are a third of a sign-in's size, and what every event has weighs more there.
func TestWritersAreCheap(t *testing.T) {
	for _, c := range []struct {
		family, name string
		options      map[string]string
		most         float64 // times the scan
	}{
		{"both", "ecs", nil, 3},
		{"signins", "ecs", nil, 3},
		{"audits", "ecs", nil, 3},
		{"signins", "envelope", nil, 4},
		{"audits", "envelope", nil, 5},
		{"signins", "ecs", map[string]string{"profile": "elastic", "raw": "drop"}, 5.5},
	} {
		page, _ := benchPage(t, c.family)
		if c.family == "both" {
			page, _ = benchPage(t, "signins")
			audits, _ := benchPage(t, "audits")
			page = append(page, audits...)
		}
		render := renderPage(t, page, c.name, c.options)
		rendering, scanning := time.Hour, time.Hour
		for range 500 { // the shortest of each: a busy machine makes both longer, not shorter
			begun := time.Now()
			render()
			between := time.Now()
			scanPage(page)
			rendering, scanning = min(rendering, between.Sub(begun)), min(scanning, time.Since(between))
		}
		ratio := float64(rendering) / float64(scanning)
		t.Logf("%s to %s %v: %d records: scan %v, rendering %v, ratio %.2f", c.family, c.name, c.options, len(page), scanning, rendering, ratio)
		if ratio > c.most {
			t.Errorf("%s to %s %v: ratio %.2f, want at most %g", c.family, c.name, c.options, ratio, c.most)
		}
	}
}
