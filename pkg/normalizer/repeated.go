package normalizer

import (
	"time"

	"github.com/logferry/logferry/pkg/jsonscan"
)

// What all records of a page have in common is made a text once: a job keeps it for the next record.

// stamp is a time and its text.
type stamp struct {
	time time.Time
	text text
}

// of gives the text of t, nil for the zero time.
func (s *stamp) of(t time.Time) text {
	if t.IsZero() {
		return nil
	}
	if t != s.time {
		s.time, s.text = t, appendTime(s.text[:0], t)
	}
	return s.text
}

// phrase is a string and its text.
type phrase struct {
	plain string
	text  text
}

// of gives the text of plain, nil for none.
func (p *phrase) of(plain string) text {
	if plain == "" {
		return nil
	}
	if plain != p.plain {
		quoted := jsonscan.AppendString(nil, plain)
		p.plain, p.text = plain, quoted[1:len(quoted)-1]
	}
	return p.text
}
