package event

import "time"

// Batch is what was new in one page: records in ascending time. Raw of its records aliases one buffer that belongs to the batch.
type Batch struct {
	Seq     uint64 // place in the journal, ascending, never used twice
	Key     StreamKey
	Slice   Slice
	Records []Record
	Bytes   int // sum of len(Raw)
}

// Cursor is the place of one reader on a stream's time line. Everything from its beginning up to Pos has been read by it.
type Cursor struct {
	Reader string    `json:"reader"`
	Pos    time.Time `json:"pos"`
	End    time.Time `json:"end,omitzero"`   // closed readers (backfill, catch-up) are done at End; zero: endless
	Slice  Duration  `json:"slice,omitzero"` // length of slice that last went well; advisory
	Start  time.Time `json:"start,omitzero"` // where it began: a resolved start must not move at a restart
}

// Duration is time.Duration with a readable JSON form.
type Duration time.Duration

// MarshalText gives the form of time.Duration.String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads the form of time.ParseDuration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// PageCommit is all that one page changes in the state: one transaction.
type PageCommit struct {
	Key           StreamKey
	Slice         Slice
	Records       []Record // rows to be told apart into new, updated and seen; any order
	Outside       int      // rows outside the slice: only counted
	DropUpdates   bool     // updates are counted as suppressed instead of being journalled
	Moving        bool     // a record that changes comes back with a later time: an id known under another one is an update
	Uncertain     bool     // mark all that is journalled with FlagUncertain
	DigestVersion uint8
	// Force journals every row without asking what was seen: an operator's order (verify --heal, resend). What is remembered
	// stays as it is, but for Minutes.
	Force   bool
	Minutes []Minute // to be set: what heal has found there
	Moves            // empty: nothing moves (not the last page)
}

// Moves is what changes on a stream's time line.
type Moves struct {
	Cursors []Cursor  // the readers' new places, upserted by name
	Remove  []string  // readers that are done
	Floor   time.Time // every reader of the stream is past it: older seen ids may be forgotten; zero: unknown, keep all
	Filter  *string   // the operator's filter that the cursors hold for from now on; nil: as before
	Marks   []Mark    // all that is to be remembered about the line but the kind Skipped; nil: as before, empty: nothing any more
}

// MarkKind says what a Mark is about.
type MarkKind string

// The kinds of marks.
const (
	Gap       MarkKind = "gap"       // cannot be had
	Skipped   MarkKind = "skipped"   // was not sent to the sink named in Reader: the journal was full
	Uncovered MarkKind = "uncovered" // the pass of Reader was left out
	Doubt     MarkKind = "doubt"     // what is found new there may have been shipped before
)

// Mark is something to be remembered about the stretch [From, To) of a stream's time line.
type Mark struct {
	Kind   MarkKind  `json:"kind"`
	Reader string    `json:"reader,omitempty"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Reason string    `json:"reason,omitempty"` // in words; marks that differ in it are kept apart
	At     time.Time `json:"at,omitzero"`      // when it was noted, or last grew, by the service's clock
}

// Minute tells what was read of one minute of a stream, without the records.
type Minute struct {
	Start time.Time
	Count uint64 // records, each once however often it changed
	Sum   uint64 // sum over the hashes of their ids and latest digests; wraps
}

// PageResult tells what became of a page's rows: len(Records)+Outside = New+Updated+Seen+Suppressed+Outside+Resent.
type PageResult struct {
	Batch *Batch // nil when nothing was journalled
	PageCounts
}

// PageCounts is one half of the ledger: Rows = New + Updated + Seen + Suppressed + Outside + Resent, Journalled = New + Updated + Resent.
type PageCounts struct {
	Rows       uint64 `json:"rows"`
	New        uint64 `json:"new"`
	Updated    uint64 `json:"updated"`
	Seen       uint64 `json:"seen"`
	Suppressed uint64 `json:"suppressed"`
	Outside    uint64 `json:"outside"`
	Late       uint64 `json:"late"`   // of New: found by a re-reader (PageCommit.Slice.Reader), after live had passed
	Resent     uint64 `json:"resent"` // shipped again to one sink on an operator's order
}

// Journalled is how many of the rows went into the journal.
func (c PageCounts) Journalled() uint64 { return c.New + c.Updated + c.Resent }

// Add adds o to c.
func (c *PageCounts) Add(o PageCounts) {
	c.Rows += o.Rows
	c.New += o.New
	c.Updated += o.Updated
	c.Seen += o.Seen
	c.Suppressed += o.Suppressed
	c.Outside += o.Outside
	c.Late += o.Late
	c.Resent += o.Resent
}

// Position is a lane's place in the journal: the next record to be settled is record Index of batch Seq.
type Position struct {
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
}

// Less orders positions.
func (p Position) Less(o Position) bool {
	return p.Seq < o.Seq || p.Seq == o.Seq && p.Index < o.Index
}

// SinkCounts is the other half of the ledger, per stream and sink: what became of records since the sink joined.
// Journalled = Delivered + Filtered + Dead + Dropped + Skipped + pending.
type SinkCounts struct {
	Delivered  uint64 `json:"delivered"`
	Filtered   uint64 `json:"filtered"`
	Dead       uint64 `json:"dead"`
	Dropped    uint64 `json:"dropped"`
	Skipped    uint64 `json:"skipped"`
	Duplicates uint64 `json:"duplicates"` // of Delivered: the peer said that it had them already
	Truncated  uint64 `json:"truncated"`  // of Delivered: cut to the peer's limit
}

// Settled is how many records have got a verdict.
func (c SinkCounts) Settled() uint64 {
	return c.Delivered + c.Filtered + c.Dead + c.Dropped + c.Skipped
}

// Add adds o to c.
func (c *SinkCounts) Add(o SinkCounts) {
	c.Delivered += o.Delivered
	c.Filtered += o.Filtered
	c.Dead += o.Dead
	c.Dropped += o.Dropped
	c.Skipped += o.Skipped
	c.Duplicates += o.Duplicates
	c.Truncated += o.Truncated
}

// LaneStep moves one lane: its new place, what became of the records between, and those that nobody took. One transaction.
type LaneStep struct {
	Sink   string
	To     Position
	Counts map[StreamKey]SinkCounts
	Dead   []DeadLetter
	Parked []DeadLetter // they have no verdict yet, so that Counts leaves them out: they are pending as before
}

// StreamLedger is the ledger of one stream.
type StreamLedger struct {
	PageCounts
	Sinks map[string]SinkLedger `json:"sinks"`
}

// Unbalanced tells by how many records the ledger does not add up: of the rows themselves, and at each sink that it does not for.
func (l StreamLedger) Unbalanced() (rows uint64, sinks map[string]uint64) {
	c := l.PageCounts
	rows = apart(c.Rows, c.New+c.Updated+c.Seen+c.Suppressed+c.Outside+c.Resent)
	for name, s := range l.Sinks {
		if n := apart(s.Joined, s.Settled()+s.Pending); n > 0 {
			if sinks == nil {
				sinks = map[string]uint64{}
			}
			sinks[name] = n
		}
	}
	return rows, sinks
}

func apart(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// SinkLedger is the ledger of one stream at one sink.
type SinkLedger struct {
	SinkCounts
	Joined  uint64 `json:"joined"`  // records journalled since the sink joined
	Pending uint64 `json:"pending"` // counted from the journal's headers and the lane's place
}

// LaneState tells where a lane stands.
type LaneState struct {
	Sink    string
	Pos     Position
	Pending uint64    // records
	Bytes   uint64    // stored bytes of the batches that it has not passed
	Oldest  time.Time // when the oldest pending record was read; zero: nothing pending
	Dead    uint64    // dead letters kept for it

	Parked    map[StreamKey]uint64 // letters that wait for their stream's breaker, of Pending
	Returning uint64               // letters that are on their way again, of Pending
	Letters   int64                // stored bytes of all its letters
}
