// Package fault holds the classes of errors that decide what happens next to a request or an event. The protocol that
// knows decides the class; everything above only obeys it.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Class says what to do about an error.
type Class int

const (
	// Retryable is anything unknown: tried again with growing pauses, for ever.
	Retryable Class = iota
	// Blocked can only be mended by an operator (401, 403, 404, wrong index, TLS): tried again slowly, named on /healthz.
	Blocked
	// Poison says that these events will be refused again while others may pass: they are split until the bad one stands alone.
	Poison
	// Partial says that some of the events failed, by index, and that the others were accepted.
	Partial
)

func (c Class) String() string {
	return [...]string{"retryable", "blocked", "poison", "partial"}[c]
}

// Error is an error with its class. Use the constructors.
type Error struct {
	class  Class
	err    error
	after  time.Duration
	failed map[int]error
	reply  string
	doubt  bool // poison that is not proved
	size   bool // poison because of the size
	soon   bool // nothing stands in the way of the next try
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.err }

// After is a retryable error for which the peer has said when to come again. d may be fractional.
func After(d time.Duration, err error) error { return &Error{class: Retryable, err: err, after: d} }

// Block is an error that only an operator can mend; err names what to mend.
func Block(err error) error { return &Error{class: Blocked, err: err} }

// Recheck is Block for what may be mended at any moment without anybody telling, such as a secret in a file: it is tried again
// after d at the latest.
func Recheck(d time.Duration, err error) error { return &Error{class: Blocked, err: err, after: d} }

// Refuse is poison: the peer will refuse these events again. reply is what it said.
func Refuse(err error, reply string) error {
	return &Error{class: Poison, err: err, reply: Cut(reply)}
}

// Suspect is poison that is not proved, because the peer names the wrong event at times or is not known to name the right one: the
// event is to be tried once more, alone, and is refused only then.
func Suspect(err error, reply string) error {
	return &Error{class: Poison, err: err, reply: Cut(reply), doubt: true}
}

// TooLarge is poison because of the size of the request: it is split, and those to come are made smaller.
func TooLarge(err error, reply string) error {
	return &Error{class: Poison, err: err, reply: Cut(reply), size: true}
}

// Again is for events that have no verdict because of others in the same request: they are sent again at once, without those.
func Again(err error) error { return &Error{class: Retryable, err: err, soon: true} }

// Some is a partial failure: failed maps the index of each event that failed to its own error (of this package, never
// Partial itself). Events that are not in it were accepted.
func Some(failed map[int]error) error {
	return &Error{class: Partial, err: fmt.Errorf("%d events were not accepted", len(failed)), failed: failed}
}

// Of gives the class of err: that of the first Error in its chain, else Retryable.
func Of(err error) Class {
	if e := find(err); e != nil {
		return e.class
	}
	return Retryable
}

// Pause is how long the peer asked to wait, or of Blocked the longest pause before the next try; 0 if neither is known.
func Pause(err error) time.Duration {
	if e := find(err); e != nil {
		return e.after
	}
	return 0
}

// Reply is what the peer said about poison, cut to 1 KiB.
func Reply(err error) string {
	if e := find(err); e != nil {
		return e.reply
	}
	return ""
}

// Failed gives the events that failed, by index, of a partial failure; nil for any other error.
func Failed(err error) map[int]error {
	if e := find(err); e != nil {
		return e.failed
	}
	return nil
}

// Suspected tells whether err is poison that is not proved.
func Suspected(err error) bool {
	e := find(err)
	return e != nil && e.doubt
}

// Oversized tells whether err says that the request was too large.
func Oversized(err error) bool {
	e := find(err)
	return e != nil && e.size
}

// AtOnce tells whether err asks for no pause.
func AtOnce(err error) bool {
	e := find(err)
	return e != nil && e.soon
}

func find(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Cut shortens what a peer said to 1 KiB: enough to see the reason, too little to fill a log.
func Cut(reply string) string {
	const most = 1024
	if len(reply) > most {
		return reply[:most] + ".."
	}
	return reply
}
