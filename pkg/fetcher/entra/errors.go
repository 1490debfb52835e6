package entra

import (
	"errors"
	"fmt"
)

// Kind says what ended a slice.
type Kind string

// The kinds.
const (
	KindToken     Kind = "token"     // the page token is expired, unknown or empty: open the slice again
	KindLoop      Kind = "loop"      // a nextLink came twice
	KindPages     Kind = "pages"     // more pages than a slice may have
	KindRows      Kind = "rows"      // more rows than a query surely gives: its end could not be told
	KindLink      Kind = "link"      // a nextLink that must not be followed: another host, or no URL
	KindRedirect  Kind = "redirect"  // a redirect, which is never followed: the token would go with it
	KindTimeout   Kind = "timeout"   // no complete reply in time
	KindThrottled Kind = "throttled" // 429, or 503 with Retry-After: every reader of the app pauses
	KindServer    Kind = "server"    // 5xx
	KindNetwork   Kind = "network"   // no connection, or one that broke
	KindMemory    Kind = "memory"    // no room for the page in time: others held too many for too long
	KindTruncated Kind = "truncated" // the connection ended in the middle of the body
	KindBody      Kind = "body"      // 200 with a body that is no page
	KindTooLarge  Kind = "too large" // the body is over 32 MiB: ask for smaller pages
	KindRequest   Kind = "request"   // another refusal of the request
	KindFilter    Kind = "filter"    // the API refuses or ignores the filter
	KindTooOld    Kind = "too old"   // the slice begins before what the service keeps
	KindAccess    Kind = "access"    // not signed in, not permitted, not in this cloud
	KindLicence   Kind = "licence"   // not licensed, or so it says
	KindCanceled  Kind = "canceled"  // the caller's context has ended
)

// SliceError ended a slice. Its class (package fault) says whether to try again; its Kind says in which way.
type SliceError struct {
	Kind   Kind
	Stream string
	Page   int // from 1
	Err    error
}

func (e *SliceError) Error() string {
	return fmt.Sprintf("read page %d of %s: %v", e.Page, e.Stream, e.Err)
}

// Unwrap gives the cause, which carries the class.
func (e *SliceError) Unwrap() error { return e.Err }

// HalveHint tells whether a smaller slice may succeed where this one has failed: the reply was too slow, too large, cut off or
// broken, or had too many pages or rows.
func HalveHint(err error) bool {
	switch KindOf(err) {
	case KindTimeout, KindServer, KindTooLarge, KindTruncated, KindBody, KindPages, KindRows:
		return true
	}
	return false
}

// TooOld tells whether the slice was refused because it begins before what the tenant's licence keeps.
func TooOld(err error) bool { return KindOf(err) == KindTooOld }

// KindOf gives the Kind of the first SliceError in err's chain, "" if there is none.
func KindOf(err error) Kind {
	var e *SliceError
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
