package event

// What an operator orders is read by these readers (Slice.Reader).
const (
	ReaderVerify = "verify"
	ReaderResend = "resend/" // and the name of the only sink that gets the records
)

// Known tells what the state file remembers of a row that is read again.
type Known uint8

// The answers.
const (
	Forgotten Known = iota // of its minute only count and sum are left
	Missing                // it was never read
	Changed                // it was read with other content
	Same
)

// Comparison is the answer about one row.
type Comparison struct {
	Known Known
	Sum   uint64 // what the row adds to the sum of its minute
}
