package event

import "time"

// LetterState tells what is to become of a record that is kept outside the journal.
type LetterState uint8

// The states of a letter.
const (
	Dead      LetterState = iota // the sink, or the normalizer, will not take it; an operator decides
	Parked                       // its stream's breaker is open: it waits, unsent
	Returning                    // it goes to its sink again
)

func (s LetterState) String() string {
	return [...]string{"dead", "parked", "returning"}[min(int(s), 2)]
}

// DeadLetter is a record that a sink, or the normalizer, will not take, with the reason; or one that waits for its breaker.
type DeadLetter struct {
	ID       uint64      `json:"id"` // given by the state file
	State    LetterState `json:"-"`  // LaneStep says it by where the letter stands
	Sink     string      `json:"sink"`
	At       time.Time   `json:"at"`
	Reason   string      `json:"reason"`          // in the words of who must mend it
	Reply    string      `json:"reply,omitempty"` // what the peer said, cut to 1 KiB
	Attempts int         `json:"attempts"`
	Record   Record      `json:"-"`
}

// LetterFilter chooses letters. Zero fields choose all.
type LetterFilter struct {
	IDs    []uint64      `json:"ids,omitempty"`
	Sink   string        `json:"sink,omitempty"`
	Stream string        `json:"stream,omitempty"` // "signins.interactive", a pattern of it, or a stream key as a whole
	Reason string        `json:"reason,omitempty"` // a part of the reason, whatever its case
	From   time.Time     `json:"from,omitzero"`    // of the records' own times: [From, To)
	To     time.Time     `json:"to,omitzero"`
	States []LetterState `json:"states,omitempty"`
}

// Settled is the verdict on one letter that was on its way again, or was tried while it is parked.
type Settled struct {
	ID     uint64
	Counts SinkCounts  // of one record
	Again  *DeadLetter // with Counts.Dead: why it is dead again; only At, Reason, Reply and Attempts are looked at
}
