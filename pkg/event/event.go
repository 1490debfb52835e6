// Package event holds the data that travels through logferry and nothing else: no I/O, no clocks, no policy.
package event

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// StreamKey identifies a stream: one kind of record of one tenant in one cloud. It is what state and ledger are kept by;
// names that an operator gives to sources are labels and may change.
type StreamKey struct {
	Cloud  string // "global", "usgov", .. or the host of a custom Graph URL
	Tenant string // the tenant's GUID (claim tid of the token), or the configured tenant where a token has none
	Stream string // "signins.interactive", "audits", ..
}

// String gives cloud/tenant/stream, the form in which state and logs name a stream.
func (k StreamKey) String() string { return k.Cloud + "/" + k.Tenant + "/" + k.Stream }

// ParseStreamKey is the inverse of String.
func ParseStreamKey(s string) (StreamKey, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return StreamKey{}, fmt.Errorf("parse stream key %q: want cloud/tenant/stream", s)
	}
	return StreamKey{Cloud: parts[0], Tenant: parts[1], Stream: parts[2]}, nil
}

// Family is the part of the stream's name before the first dot: "signins", "audits", "risk", ..
func (k StreamKey) Family() string {
	family, _, _ := strings.Cut(k.Stream, ".")
	return family
}

// Digest is a 64-bit hash of a record's content that does not depend on the order of members. See fetcher/entra.
type Digest uint64

// Flags mark what is special about a record. They are kept in the journal and shown in the mapped event.
type Flags uint8

// The flags of a record.
const (
	FlagUpdate    Flags = 1 << iota // the same id was read before with other content
	FlagNoID                        // the API gave no id: ID is the digest in hex
	FlagNoTime                      // the API gave no usable time: Time is the start of the slice
	FlagUncertain                   // read again after damage: the event may have been delivered before
	FlagResent                      // shipped again on an operator's order
)

// Record is one record as the API sent it.
type Record struct {
	Key    StreamKey
	ID     string
	Time   time.Time // its own time (createdDateTime, activityDateTime, ..), UTC
	Read   time.Time // when its page was read, UTC
	Digest Digest
	Flags  Flags
	Raw    []byte // the JSON object, byte for byte; aliases the page or batch it came in
	id     ID     // see Identify; zero: not computed yet
}

// Update tells whether the same record was shipped before with other content.
func (r *Record) Update() bool { return r.Flags&FlagUpdate != 0 }

// ID is the stable name of one version of one record at a sink: base64url (no padding) of the first 128 bits of SHA-256
// over tenant, stream, record id and digest. A repeat has the same ID, an update has another one.
type ID [22]byte

func (id ID) String() string { return string(id[:]) }

// Identify computes the record's ID and keeps it: for the one owner of a record that is about to be rendered and sent, perhaps
// several times. What the ID is made of must not change any more.
func (r *Record) Identify() ID {
	r.id = r.EventID()
	return r.id
}

// EventID gives the record's ID, computed unless it was kept.
func (r *Record) EventID() ID {
	if r.id != (ID{}) {
		return r.id
	}
	var buf [256]byte
	b := append(buf[:0], r.Key.Tenant...)
	b = append(b, 0)
	b = append(b, r.Key.Stream...)
	b = append(b, 0)
	b = append(b, r.ID...)
	b = append(b, 0)
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(r.Digest>>shift))
	}
	sum := sha256.Sum256(b)
	var id ID
	base64.RawURLEncoding.Encode(id[:], sum[:16])
	return id
}

// Schema names a rendering of records. It is comparable: lanes with equal schemas share renderings.
type Schema struct {
	Name    string // "ecs", "raw", ..
	Version int    // of our mapping
	Options string // canonical "key=value,key=value", sorted by key; "" for none
}

// Event is a record rendered for a sink.
type Event struct {
	Record
	EventID ID
	Body    []byte // in the sink's schema; one JSON object without a line end, unless the schema is textual (cef, leef)
}

// Limits is what a sink takes in one Send. The lane cuts to them.
type Limits struct {
	Events   int           // most events in one Send; 0: no limit
	Bytes    int           // most bytes of bodies in one Send; a single larger event is still sent alone
	Linger   time.Duration // how long to wait for more events before a Send that is not full
	InFlight int           // Sends that the sink can take at once, 0 means 1; it may change with what the peer says
}

// Slice is a stretch of a stream's time line that a reader asks for: [From, To), whole seconds. A zero To means up to now.
type Slice struct {
	Stream string
	Reader string        // "live", "reread/2h0m0s", "backfill", ..: who asks
	Class  Class         // how its requests are ranked
	Rank   time.Duration // of several of a class the highest goes first
	From   time.Time
	To     time.Time
	Top    int // page size asked for; 0: the stream's own
}

// Class ranks requests: the budget is shared out by it.
type Class uint8

// The classes, the most urgent first.
const (
	ClassLive     Class = iota
	ClassCatchup        // a stretch that nobody has read yet because of an outage or a loss
	ClassBehind         // a re-reader that is late
	ClassReread         // a re-reader that is on time
	ClassBackfill       // the first run's past, holes, what an operator has ordered
	Classes             // how many there are
)

func (c Class) String() string {
	return [...]string{"live", "catchup", "behind", "reread", "backfill"}[min(int(c), int(Classes)-1)]
}

// Contains tells whether t lies inside the slice, with a second of slack on both sides because the API's bounds are
// inclusive and its fractions vary.
func (s Slice) Contains(t time.Time) bool {
	if t.Before(s.From.Add(-time.Second)) {
		return false
	}
	return s.To.IsZero() || !t.After(s.To.Add(time.Second))
}

func (s Slice) String() string {
	to := "now"
	if !s.To.IsZero() {
		to = s.To.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s [%s, %s)", s.Stream, s.From.UTC().Format(time.RFC3339), to)
}

// Page is one reply of the API. Its records alias memory that the fetcher uses again: they are valid until the next page
// is asked for.
type Page struct {
	Records []Record  // in the order of the reply
	Date    time.Time // the service's clock when it answered; zero if the reply had no usable Date
	Bytes   int       // size of the reply's body
	Last    bool      // no further page follows
}
