package store

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/logferry/logferry/pkg/event"
)

// Errors of a Store, to be told apart with errors.Is.
var (
	ErrClosed = errors.New("the state file is closed")
	// ErrFull: the journal is at its limit; ask Room first.
	ErrFull = errors.New("the journal is full: wait until the lanes have made room, or raise state.journal_max_bytes")
	// ErrNoSpace: the disk (or a quota) is full. Nothing was changed; the same call works again once there is space.
	ErrNoSpace error = noSpaceError{}
	// ErrSuspect: a fault inside a transaction. All calls fail with it until the file was opened, and checked, anew.
	ErrSuspect = errors.New("the state file is suspect after a fault: restart, it is checked then")
	// ErrUnknownSink: Lanes was not called with this name.
	ErrUnknownSink = errors.New("the state file has no lane of this name")
)

// noSpaceError is told by its method from other errors, also where this package is not known.
type noSpaceError struct{}

func (noSpaceError) Error() string {
	return "no space left for the state file: free space on the disk of state.dir"
}

// NoSpace tells that somebody has to free space.
func (noSpaceError) NoSpace() {}

// LockedError says that another process has the state file open.
type LockedError struct {
	Path string
	PID  int // of the other process; 0: not known
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process: stop it, or give this one a state.dir of its own", e.Path)
	}
	return fmt.Sprintf("%s is in use by process %d: stop it, or give this one a state.dir of its own", e.Path, e.PID)
}

// FormatError says that a newer logferry wrote the file. It was not touched.
type FormatError struct {
	Path       string
	Have, Want uint32
	Needs      []string // what is in use in the file that this version does not know; the format may be known then
	Writer     string   // the version that had the file last; "": not known
	Version    string   // ours; "": not known
}

func (e *FormatError) Error() string {
	what := fmt.Sprintf("has format %d, and this version%s reads up to %d", e.Have, in(" (", e.Version, ")"), e.Want)
	if len(e.Needs) > 0 {
		what = fmt.Sprintf("needs a version that knows %s, which this one%s does not", strings.Join(e.Needs, ", "), in(" (", e.Version, ")"))
	}
	return fmt.Sprintf("%s %s: a newer logferry%s wrote it, use that one or a later one; nothing was changed (docs/state.md says how to go back)",
		e.Path, what, in(" (", e.Writer, ")"))
}

// in puts text between two others; without a text there is nothing.
func in(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

// AbandonedError says that a sink is gone from the configuration while records wait for it.
type AbandonedError struct {
	Sink    string
	Pending uint64 // records in the journal that it has not got, and letters that are parked or on their way again
	Dead    uint64 // dead letters kept for it
}

func (e *AbandonedError) Error() string {
	return fmt.Sprintf("sink %s is not configured any more but has %d pending records and %d dead letters: configure it again, "+
		"rename it with was: %s, or give them up with --forget-sink %s", e.Sink, e.Pending, e.Dead, e.Sink, e.Sink)
}

// DamagedError says that a batch of the journal is not what was written. Store.Damaged takes it out.
type DamagedError struct {
	Seq   uint64
	Key   event.StreamKey
	Slice event.Slice // what has to be read again, in whole minutes
	Cause error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("batch %d of %s is damaged (%v): %s has to be read again", e.Seq, e.Key, e.Cause, e.Slice)
}

func (e *DamagedError) Unwrap() error { return e.Cause }

// Damage tells which batch of which stream is damaged.
func (e *DamagedError) Damage() (seq uint64, key event.StreamKey) { return e.Seq, e.Key }

// StepError says that a lane's step does not add up: its counts are not those of the records between its places.
type StepError struct {
	Sink    string
	Key     event.StreamKey
	Passed  uint64 // records of the stream between the lane's place and the step's
	Settled uint64 // records that the step's counts and parked letters speak of
}

func (e *StepError) Error() string {
	return fmt.Sprintf("step of lane %s passes %d records of %s but settles %d", e.Sink, e.Passed, e.Key, e.Settled)
}

// LettersFullError says that a step's letters would outgrow the limit of its sink.
type LettersFullError struct {
	Sink  string
	Bytes int64 // stored, with those of the step
	Limit int64
}

func (e *LettersFullError) Error() string {
	return fmt.Sprintf("the letters of sink %s would take %d bytes, the limit is %d (state.dead_letters_max_bytes)", e.Sink, e.Bytes, e.Limit)
}

// LettersFull tells it from other errors of a step.
func (e *LettersFullError) LettersFull() {}

// DamagedLettersError names letters that cannot be sent again because the disk has changed their records.
type DamagedLettersError struct{ IDs []uint64 }

func (e *DamagedLettersError) Error() string {
	return fmt.Sprintf("the records of %d letters are damaged, they can only be dropped: %d", len(e.IDs), e.IDs)
}

// damage is an error of the file's content: the file is to be set aside.
type damage struct{ cause error }

func (e *damage) Error() string { return "damaged state file: " + e.cause.Error() }
func (e *damage) Unwrap() error { return e.cause }

func damaged(format string, args ...any) error { return &damage{fmt.Errorf(format, args...)} }

// noSpace tells whether err means a full disk, quota or file size limit. bbolt wraps some of its errors as text only.
func noSpace(err error) bool {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}
