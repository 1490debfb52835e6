package timeline

import "time"

// LateBounds are the upper bounds of the histogram of lateness.
var LateBounds = [...]time.Duration{
	time.Minute, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 8 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 24 * time.Hour, 48 * time.Hour, 72 * time.Hour,
}

// Lateness counts how late the API has shown records, by LateBounds; the last count is of what came later still. A record's
// lateness is its age when the pass went by that did not show it yet: a little less than the truth, zero for one that the
// first pass has shown.
type Lateness struct {
	Counts [len(LateBounds) + 1]uint64 `json:"counts"`
	Sum    time.Duration               `json:"sum_ns"`
}

// load is what is known of a stream's traffic.
type load struct {
	rate     float64 // records per second of the time line; a moving average over about an hour
	lateness Lateness
}

// rateOver is how fast load.rate follows.
const rateOver = time.Hour

// observe notes that a poll has shown rows records of a stretch that long.
func (o *load) observe(long time.Duration, rows int) {
	if long < time.Second {
		return
	}
	rate := float64(rows) / long.Seconds()
	if o.rate == 0 {
		o.rate = rate
	}
	o.rate += (rate - o.rate) * min(1, float64(long)/float64(rateOver))
}

// found notes a record's lateness.
func (o *load) found(late time.Duration) {
	late = max(late, 0)
	o.lateness.Sum += late
	for i, bound := range LateBounds {
		if late <= bound {
			o.lateness.Counts[i]++
			return
		}
	}
	o.lateness.Counts[len(LateBounds)]++
}

// late gives the lateness that the share q of all records does not exceed; zero before enough are known.
func (o *load) late(q float64) time.Duration {
	var all, sum uint64
	for _, n := range o.lateness.Counts {
		all += n
	}
	if all < 100 {
		return 0
	}
	for i, bound := range LateBounds {
		if sum += o.lateness.Counts[i]; float64(sum) >= q*float64(all) {
			return bound
		}
	}
	return LateBounds[len(LateBounds)-1]
}

// Lateness tells how late the API has shown records since the start.
func (l *Line) Lateness() Lateness { return l.load.lateness }

// Rate is how many records the stream has per second.
func (l *Line) Rate() float64 { return l.load.rate }

// Demand is how many requests per second it takes to read the stream once by live and once by each re-reader, in full
// pages: the least that all configured passes cost.
func (l *Line) Demand() float64 {
	demand := 1/l.cfg.Poll.Std().Seconds() + l.load.rate*float64(1+len(l.cfg.Reread))/float64(l.page())
	for _, age := range l.cfg.Reread {
		demand += 1 / min(age.Std()/4, time.Hour).Seconds()
	}
	return demand
}

// LeftOut tells when a pass or a stretch was left out last; zero: never, as far as is remembered.
func (l *Line) LeftOut() time.Time { return l.leftOut }
