package app_test

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestAsk_EatsAnyMemoryGiven: office365-audit-log-collector#51, elastic/beats#48194 (0.4 to 55 GB, then out of memory),
// invictus-ir/Microsoft-Extractor-Suite#37, #144, #70, #59. A large tenant is read faster than its receiver takes it. Expected: what
// is in memory is bounded by what is under way, not by what there is to read: over 120 MB of pages pass a receiver that takes a
// megabyte a second, and what lives never grows by more than 80 MB; a million pages would not change that.
func TestAsk_EatsAnyMemoryGiven(t *testing.T) {
	const (
		records, mib = 40_000, 1 << 20
		// A page is 3.4 MB. Pages being read and split take two of them, the store's buffers for packing and unpacking and the ring of
		// recent batches 20 MB, the lane's batch and its rendering two pages more; the simulator makes two at a time, and the test
		// itself keeps 350 bytes of each record. That is 50 to 60 MB, measured, and the rest is room for how the pages fall together.
		most = 80 * mib
	)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWorld(t, simulator.Options{Generate: []simulator.Generate{{Stream: simulator.Interactive, Rate: records / (12 * 3600.), Since: began.Add(-12 * time.Hour), Until: began}}},
			"start: 13h\npoll: 5m\nreread: []\nstreams: [signins.interactive]", "slow")
		runtime.GC()
		before, peak := live(), uint64(0)
		w.sinks["slow"].says = func([]event.Event) error {
			time.Sleep(time.Second)
			peak = max(peak, live())
			return nil
		}
		w.start("slow")
		w.until(2 * time.Hour)
		w.stop()
		if n, _ := w.complete("slow"); n != records {
			t.Errorf("%d records", n)
		}
		read := w.sim.Stats().Bytes
		if grown := int64(peak) - int64(before); grown > most {
			t.Errorf("of %d MB read %d MB were in memory at once", read/mib, grown/mib)
		} else {
			t.Logf("of %d MB read %d MB were in memory at once", read/mib, grown/mib)
		}
		if read < 120*mib {
			t.Errorf("nothing to prove: %d MB", read/mib)
		}
	})
}

// live is what the last collection has found alive, in bytes.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
