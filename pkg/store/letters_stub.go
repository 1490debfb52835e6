package store

import (
	"context"
	"errors"

	"github.com/logferry/logferry/pkg/event"
)

var errStub = errors.New("stub")

func (s *Store) Letters(event.LetterFilter, int) ([]event.DeadLetter, error) { return nil, nil }
func (s *Store) Return(context.Context, event.LetterFilter) (int, error)     { return 0, errStub }
func (s *Store) Unpark(context.Context, string, event.StreamKey) (int, error) {
	return 0, errStub
}
func (s *Store) Settle(context.Context, string, []event.Settled) error { return errStub }
