package event

import "time"

// Skip is what one lane has given up to make room in a full journal.
type Skip struct {
	Sink    string
	To      Position  // its new place
	Records uint64    // all streams together
	From    time.Time // of the records' own times, in whole minutes: [From, Until)
	Until   time.Time
}
