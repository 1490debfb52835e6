package app_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// ages are the default re-readers'.
var ages = []time.Duration{30 * time.Minute, 2 * time.Hour, 24 * time.Hour, 72 * time.Hour}

const (
	lookback = 15 * time.Minute
	// At 5 requests in 10 s one leaves every 2 s: when all 25 readers of five streams are due at once, and live for the next time
	// meanwhile, they wait this long for each other.
	queue = 35 * 2 * time.Second
)

// due is the latest time at which a record that happened at and appears late after that is to arrive: by live where look-back
// reaches it, else by the first re-reader that passes after it has appeared.
func due(at time.Time, late time.Duration) time.Time {
	if late <= lookback {
		return at.Add(late + poll)
	}
	for _, age := range ages {
		if late <= age {
			return at.Add(age + max(poll, min(age/4, time.Hour)))
		}
	}
	panic("later than the oldest re-reader")
}

// TestLateness has records appear a minute to 71 hours after their time in all five streams, over 100 hours, and wants each
// once, by the reader whose turn it is.
func TestLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, simulator.Options{}, "start: 24h", "out")
		w.sinks["out"].keep = true
		rng := rand.New(rand.NewPCG(1, 1))
		wanted, bodies := map[rec]time.Time{}, map[rec]string{}
		for i := range 200 {
			for _, stream := range simulator.Streams() {
				// Logarithmically even from a minute to 71 hours; their times leave the oldest re-reader its turn.
				late := time.Duration(float64(time.Minute) * math.Exp(rng.Float64()*math.Log(71*60)))
				if i == 0 {
					late = 71 * time.Hour
				}
				at := w.began.Add(time.Duration(rng.Int64N(int64(25 * time.Hour)))).Truncate(100)
				raw := record(stream, fmt.Sprintf("%s-%d", stream, i), at, "")
				w.add(stream, simulator.Record{Raw: raw, Appears: at.Add(late)})
				k := rec{stream, fmt.Sprintf("%s-%d", stream, i)}
				wanted[k], bodies[k] = due(at, late), string(raw)
			}
		}
		w.start("out")
		w.until(100 * time.Hour)
		w.stop()
		got := w.sinks["out"].byRecord()
		var worst time.Duration
		for k, by := range wanted {
			switch a := got[k]; {
			case len(a) != 1:
				t.Errorf("%s arrived %d times", k.id, len(a))
			case a[0].At.After(by.Add(queue)):
				t.Errorf("%s arrived %s after it was due, %s after its time %s", k.id, a[0].At.Sub(by), a[0].At.Sub(a[0].Time), a[0].Time.Sub(w.began))
			case a[0].Body != bodies[k] || a[0].Flags != 0:
				t.Errorf("%s arrived with flags %b as %s", k.id, a[0].Flags, a[0].Body)
			default:
				worst = max(worst, a[0].At.Sub(by))
			}
		}
		w.checkBudget()
		n, _ := w.wire.requests()
		t.Logf("%d records, %d requests in 100 h, the latest arrived %s after its reader's turn", len(wanted), n, worst)
	})
}
