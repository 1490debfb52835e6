package store

import (
	"context"
	"fmt"
)

// SetLimits changes the limits of Options, 0 means the default there. What is above a lower limit stays: the journal is full until its
// lanes have got on, and letters are taken again when some are gone.
func (s *Store) SetLimits(journalMaxBytes, lettersMaxBytes int64) error {
	o := Options{JournalMaxBytes: journalMaxBytes, LettersMaxBytes: lettersMaxBytes}.withDefaults()
	err := s.do(context.Background(), &request{apply: func(*txn) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.o.JournalMaxBytes, s.o.LettersMaxBytes = o.JournalMaxBytes, o.LettersMaxBytes
		return nil
	}})
	if err != nil {
		return fmt.Errorf("set limits: %w", err)
	}
	return nil
}
