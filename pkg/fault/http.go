package fault

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FromHTTP judges a reply by its status alone. Protocols that say more in the body judge that first.
//   - 2xx: nil
//   - 401, 403, 404, 405, 407: Blocked
//   - 400, 413, 415, 422: Poison (this request will be refused again), 413 TooLarge
//   - 408, 429, 5xx, 3xx and all others: Retryable, after Retry-After if the reply has one
func FromHTTP(status int, header http.Header, body []byte) error {
	if status >= 200 && status < 300 {
		return nil
	}
	reply := Cut(strings.TrimSpace(string(body)))
	err := fmt.Errorf("http status %d (%s): %s", status, http.StatusText(status), oneLine(reply))
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return Block(err)
	case http.StatusRequestEntityTooLarge:
		return TooLarge(err, reply)
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return Refuse(err, reply)
	}
	if d, ok := RetryAfter(header, time.Now()); ok {
		return After(d, err)
	}
	return err
}

// RetryAfter reads the header of that name: seconds, fractions allowed (Microsoft Graph sends "2.128"), or an HTTP date
// (RFC 9110 section 10.2.3). It never gives more than a day or less than zero.
func RetryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(header.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	d := time.Duration(0)
	if s, err := strconv.ParseFloat(v, 64); err == nil && s == s {
		const day = 24 * 60 * 60
		d = time.Duration(min(max(s, 0), day) * float64(time.Second))
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	} else {
		return 0, false
	}
	return min(max(d, 0), 24*time.Hour), true
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
