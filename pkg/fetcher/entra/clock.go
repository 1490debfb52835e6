package entra

import (
	"net/http"
	"sync"
	"time"
)

const (
	// slack is how far a Date may be off the clock and be followed without a second thought.
	slack = 2 * time.Minute
	// Dates that are further off have to agree with each other, this many in a row and this well: somewhere between here and
	// Microsoft one server of many may be wrong, or a cache may answer.
	witnesses = 3
	agreement = 10 * time.Second
	// What lies outside of these years is no time, whoever says so and however often: a cursor that followed it would never
	// come back.
	leastYear, mostYear = 1990, 2100
)

// clock is the service's: what its replies said, and the time that has gone by since. It does not follow steps of the machine's
// own clock, which may be wrong by any amount, and not the first best reply that names another time.
type clock struct {
	machine func() (wall time.Time, steady time.Duration) // the machine's clock without, and alone, its monotonic reading

	mu     sync.Mutex
	date   time.Time     // that was believed last; zero before the first
	wall   time.Time     // the machine's when it came
	steady time.Duration // the same

	doubted   int           // replies in a row that were not believed and agree
	low, high time.Duration // by how much they were off
}

// machineClock takes the two readings of now apart.
func machineClock(now func() time.Time) func() (time.Time, time.Duration) {
	start := now()
	return func() (time.Time, time.Duration) {
		t := now()
		return t.Round(0).UTC(), t.Sub(start)
	}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(c.machine())
}

// off is by how much the machine's clock is ahead of the service's; 0 before the first reply.
func (c *clock) off() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := c.machine()
	return wall.Sub(c.at(wall, steady))
}

func (c *clock) at(wall time.Time, steady time.Duration) time.Time {
	if c.date.IsZero() {
		return wall
	}
	return c.date.Add(steady - c.steady)
}

// heard takes the Date of a reply (RFC 9110 section 6.6.1; whole seconds, so the clock is up to a second behind) and returns
// what time it was then: that Date, or the clock's own if it was not believed. Only Microsoft's own replies count, which carry
// the id of the request: the error page of a proxy tells the proxy's time.
func (c *clock) heard(header http.Header) time.Time {
	date, err := http.ParseTime(header.Get("Date"))
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := c.machine()
	own := c.at(wall, steady)
	if err != nil || header.Get("request-id") == "" && header.Get("x-ms-request-id") == "" {
		return own
	}
	date = date.UTC()
	if y := date.Year(); y < leastYear || y > mostYear {
		return own
	}
	if !c.believes(date, own, wall, steady) {
		return own
	}
	c.date, c.wall, c.steady, c.doubted = date, wall, steady, 0
	return date
}

// believes tells whether to follow a Date that came where the clock says own.
func (c *clock) believes(date, own, wall time.Time, steady time.Duration) bool {
	off := date.Sub(own)
	if c.date.IsZero() || off.Abs() <= slack {
		return true
	}
	// A machine that was suspended has lost that time from its monotonic clock, and got it back into its wall clock.
	slept := wall.Sub(c.wall) - (steady - c.steady)
	if off > 0 && slept > 0 && (off-slept).Abs() <= slack {
		return true
	}
	if c.doubted > 0 && max(c.high, off)-min(c.low, off) <= agreement {
		c.low, c.high = min(c.low, off), max(c.high, off)
		c.doubted++
	} else {
		c.low, c.high, c.doubted = off, off, 1
	}
	return c.doubted >= witnesses
}
