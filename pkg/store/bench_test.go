package store

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// cpu is user and system time of the process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// signIns makes pages of 1,000 records of about 2.8 KB that compress about as sign-ins do.
func signIns(n int) event.PageCommit {
	c := page(keyA)
	r := rand.New(rand.NewPCG(uint64(n), 4))
	filler := make([]byte, 0, 2800)
	for i := 0; len(filler) < 2050; i++ {
		filler = fmt.Appendf(filler, `,"property%d":{"displayName":"value %d","result":"notApplied","enforced":[]}`, i%23, i)
	}
	for i := range 1000 {
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", n, i)
		raw := fmt.Appendf(nil, `{"id":%q,"createdDateTime":"2026-03-04T12:00:00Z","correlationId":"%016x","ipAddress":"192.0.2.%d"`, id, uint64(i)*0x9e3779b97f4a7c15*uint64(n+1), i%256)
		for k := range 12 { // what differs from record to record: ids, hashes
			raw = fmt.Appendf(raw, `,"id%d":"%016x%016x"`, k, r.Uint64(), r.Uint64())
		}
		raw = append(append(raw, filler...), '}')
		c.Records = append(c.Records, event.Record{ID: id, Time: noon.Add(time.Duration(n*40)*time.Second - time.Duration(i)*40*time.Millisecond), Read: noon, Digest: event.Digest(i), Raw: raw})
	}
	return c
}

func report(b *testing.B, start time.Duration, records int) {
	b.ReportMetric((cpu()-start).Seconds()/float64(b.N*records)*1e6, "cpu-s/million")
}

func BenchmarkAppendNew(b *testing.B) {
	s := withLanes(b, Options{Now: fastOptions().Now}, "one")
	pages := make([]event.PageCommit, b.N)
	for i := range pages {
		if i < 50 {
			pages[i] = signIns(i)
			continue
		}
		pages[i] = pages[i%50]
		pages[i].Key.Tenant = fmt.Sprint("tenant-", i/50)
	}
	runtime.GC()
	b.ResetTimer()
	start := cpu()
	for i := range pages {
		if res := mustAppend(b, s, pages[i]); res.New != 1000 {
			b.Fatal(res.PageCounts)
		}
	}
	report(b, start, 1000)
	b.ReportMetric(float64(s.o.JournalMaxBytes-s.Room())/float64(b.N), "stored-B/page")
}

func BenchmarkAppendSeen(b *testing.B) {
	s := withLanes(b, Options{Now: fastOptions().Now}, "one")
	var pages []event.PageCommit
	for i := range 20 {
		pages = append(pages, signIns(i))
		mustAppend(b, s, pages[i])
	}
	b.ResetTimer()
	start := cpu()
	for i := range b.N {
		if res := mustAppend(b, s, pages[i%20]); res.Seen != 1000 {
			b.Fatal(res.PageCounts)
		}
	}
	report(b, start, 1000)
}

func BenchmarkStep(b *testing.B) {
	s := withLanes(b, Options{Now: fastOptions().Now}, "one")
	appendPages(b, s, "a")
	c := page(keyA)
	for i := range b.N {
		c.Records = append(c.Records, rec(fmt.Sprint("r", i), noon, 1))
	}
	mustAppend(b, s, c)
	b.ResetTimer()
	start := cpu()
	for i := range b.N {
		step := event.LaneStep{Sink: "one", To: event.Position{Seq: 2, Index: i}, Counts: delivered(1)}
		if err := s.Step(bg, step); err != nil {
			b.Fatal(err)
		}
	}
	report(b, start, 1)
}

func BenchmarkRead(b *testing.B) {
	s := withLanes(b, fastOptions(), "one")
	mustAppend(b, s, signIns(1))
	b.ResetTimer()
	start := cpu()
	for range b.N {
		if _, err := s.Read(1); err != nil {
			b.Fatal(err)
		}
	}
	report(b, start, 1000)
}

// TestMemory has a million records go through the journal.
func TestMemory(t *testing.T) {
	s := withLanes(t, fastOptions(), "one")
	c := signIns(0)
	pages := 1000
	if testing.Short() {
		pages = 100
	}
	var most uint64
	for i := range pages {
		for j := range c.Records {
			r := &c.Records[j]
			r.ID = fmt.Sprintf("%08x-%08x", i, j)
			r.Raw = r.Raw[:64]
			r.Time = noon.Add(time.Duration(i)*40*time.Second + time.Duration(j)*40*time.Millisecond)
		}
		c.Floor = noon.Add(time.Duration(i-60) * 40 * time.Second)
		mustAppend(t, s, c)
		if err := s.Step(bg, event.LaneStep{Sink: "one", To: event.Position{Seq: uint64(i + 2)}, Counts: delivered(1000)}); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	t.Logf("%d records: most heap in use %.1f MiB", pages*1000, float64(most)/(1<<20))
	if most > 48<<20 {
		t.Errorf("heap grew to %d bytes", most)
	}
	mustCheck(t, s)
}
