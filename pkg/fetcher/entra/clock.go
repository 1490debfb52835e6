package entra

import (
	"net/http"
	"sync"
	"time"
)

// clock is the service's: what its last reply said, and the time that has gone by since. It does not follow steps of the
// machine's own clock, which may be wrong by any amount.
type clock struct {
	local func() time.Time

	mu   sync.Mutex
	date time.Time // of the last reply; zero before the first
	at   time.Time // when it came
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	local := c.local()
	if c.date.IsZero() {
		return local.UTC()
	}
	return c.date.Add(local.Sub(c.at))
}

// heard takes the Date of a reply (RFC 9110 section 6.6.1; whole seconds, so the clock is up to a second behind) and returns
// it, zero if there was none. The clock believes only Microsoft's own replies, which carry the id of the request: the error
// page of a proxy tells the proxy's time.
func (c *clock) heard(header http.Header) time.Time {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	date = date.UTC()
	if header.Get("request-id") == "" && header.Get("x-ms-request-id") == "" {
		return date
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.date, c.at = date, c.local()
	return date
}
