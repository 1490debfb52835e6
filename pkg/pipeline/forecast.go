package pipeline

import (
	"math"
	"slices"
	"time"
)

const (
	sampleEvery = time.Minute
	samplesKept = 11             // ten minutes
	alarmBefore = 24 * time.Hour // the journal is full
)

// forecast tells from the last ten minutes when the journal will be full, and when that is worth an alarm.
type forecast struct {
	most    int64 // bytes of a full journal
	samples []sample
	growth  float64 // bytes a second; 0: it does not grow, or not enough is known

	since  time.Time     // of the alarm; zero: there is none
	warned time.Duration // time that was left at the last warning; 0: none was known
	full   bool          // it was said that the journal is full
}

type sample struct {
	at   time.Time
	used int64 // bytes
}

// look takes a sample, one every sampleEvery. It tells whether a warning is due: when the alarm begins, at each halving of the
// time left, and when the journal is full.
func (f *forecast) look(at time.Time, room int64) (warn bool) {
	used := f.most - room
	if len(f.samples) == samplesKept {
		f.samples = slices.Delete(f.samples, 0, 1)
	}
	f.samples = append(f.samples, sample{at, used})
	f.growth = f.rate()
	left := f.left(room)
	switch {
	case f.since.IsZero() && used <= f.most/2 && (left == 0 || left >= alarmBefore):
		return false
	case f.since.IsZero():
		f.since, f.warned, f.full = at, left, used >= f.most
		return true
	case used < f.most/16*7 && (left == 0 || left > alarmBefore/2*3): // less than what begins an alarm: it would come and go
		f.since, f.warned, f.full = time.Time{}, 0, false
		return false
	}
	if used >= f.most {
		warn, f.full = !f.full, true
		return warn
	}
	if used < f.most/16*15 {
		f.full = false
	}
	if left > 0 && (f.warned == 0 || f.warned > time.Minute && left <= f.warned/2) {
		f.warned = left
		return true
	}
	return false
}

// rate compares the emptiest moments of the two halves of the samples: what only passes through the journal is no growth, and
// neither is what leaves it all but empty.
func (f *forecast) rate() float64 {
	if len(f.samples) < samplesKept {
		return 0
	}
	emptiest := func(s []sample) sample {
		return slices.MinFunc(s, func(a, b sample) int { return int(min(max(a.used-b.used, -1), 1)) })
	}
	a, b := emptiest(f.samples[:samplesKept/2]), emptiest(f.samples[samplesKept/2+1:])
	if b.used < f.most/16 {
		return 0
	}
	return max(0, float64(b.used-a.used)/b.at.Sub(a.at).Seconds())
}

// left is the time until the journal has no room any more; 0: it does not grow, or is full.
func (f *forecast) left(room int64) time.Duration {
	if f.growth == 0 || room <= 0 {
		return 0
	}
	return time.Duration(min(float64(room)/f.growth*float64(time.Second), math.MaxInt64/2))
}
