package pipeline

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

// Stretch is what an operator wants to be read again: streams, and a part of their time lines.
type Stretch struct {
	Streams string `json:"streams"`      // SOURCE/STREAM, patterns such as contoso/signins.* are possible; "": all
	From    string `json:"from"`         // RFC 3339, a date, or an age such as 24h
	To      string `json:"to,omitempty"` // the same; "", and what is later: look-back before now
}

// OrderError says why an order cannot be followed as it stands.
type OrderError struct{ Reason string }

func (e *OrderError) Error() string { return e.Reason }

func refuse(format string, args ...any) error { return &OrderError{fmt.Sprintf(format, args...)} }

// Progress tells how far an order has come.
type Progress struct {
	Stream  string    `json:"stream"`
	Through time.Time `json:"through"`
	To      time.Time `json:"to"`
	Rows    int       `json:"rows"`            // read so far
	Err     string    `json:"error,omitempty"` // what is waited for before the next attempt
}

// target is one stream to be read again.
type target struct {
	*source
	key  event.StreamKey
	name string    // contoso/audits
	from time.Time // whole minutes
	to   time.Time
	move bool  // a record that changes comes back with a later time
	err  error // of the sign-in: nothing can be read, which is no reason to leave out other tenants
}

// targets finds the streams of a stretch and what it means for each, by the service's clock. It signs in. An error means that
// there is nothing to be done.
func (p *Pipeline) targets(ctx context.Context, s Stretch) ([]target, error) {
	from, to, err := s.parse()
	if err != nil {
		return nil, err
	}
	var all []target
	for _, src := range p.allSources() {
		var wanted []string
		for _, stream := range src.Streams {
			if s.matches(src.Name + "/" + stream) {
				wanted = append(wanted, stream)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		tid, err := src.Identify(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for _, stream := range wanted {
			t := target{source: src, key: event.StreamKey{Cloud: src.Cloud, Tenant: tid, Stream: stream}, name: src.Name + "/" + stream, move: src.Moves != nil && src.Moves(stream), err: err}
			if err := t.resolve(from, to); err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil, refuse("there is no stream %s: there are %s", s.Streams, strings.Join(p.streamNames(), ", "))
	}
	return all, nil
}

func (s Stretch) parse() (from, to timeline.Start, err error) {
	if _, err := path.Match(s.Streams, ""); err != nil {
		return from, to, refuse("stream: %q is no pattern", s.Streams)
	}
	if err := from.UnmarshalText([]byte(s.From)); err != nil {
		return from, to, refuse("from: %v", err)
	}
	if s.To != "" {
		if err := to.UnmarshalText([]byte(s.To)); err != nil {
			return from, to, refuse("to: %v", err)
		}
	}
	return from, to, nil
}

func (s Stretch) matches(name string) bool {
	ok, err := path.Match(s.Streams, name)
	return s.Streams == "" || ok && err == nil
}

// resolve sets the stretch. What lies within look-back live reads yet, so it is no closed stretch.
func (t *target) resolve(from, to timeline.Start) error {
	now := t.Now()
	t.from = from.Resolve(now).Truncate(time.Minute)
	t.to = to.Resolve(now)
	if edge := now.Add(-t.Time.Lookback.Std()); t.to.After(edge) {
		t.to = edge
	}
	if t.to = t.to.Truncate(time.Minute); !t.from.Before(t.to) {
		return refuse("nothing lies between from (%s) and to (%s): what is younger than look-back (%s) is still being read",
			t.from.Format(time.RFC3339), t.to.Format(time.RFC3339), t.Time.Lookback)
	}
	return nil
}

func (p *Pipeline) streamNames() []string {
	var names []string
	for _, s := range p.allSources() {
		for _, stream := range s.Streams {
			names = append(names, s.Name+"/"+stream)
		}
	}
	slices.Sort(names)
	return names
}

// unread gives the stretches that a closed reader has yet to come to: nothing is wrong with them.
func (t *target) unread() []event.Cursor {
	return slices.DeleteFunc(t.p.o.Journal.Cursors(t.key), func(c event.Cursor) bool {
		return c.End.IsZero() || !c.Pos.Before(t.to) || !t.from.Before(c.End)
	})
}

// begun gives the time where reading began at the first run, or after a loss of the state: nothing is known of what is older.
func (t *target) begun() (at time.Time, ok bool) {
	for _, c := range t.p.o.Journal.Cursors(t.key) {
		if c.Reader == timeline.Live {
			return c.Start, true
		}
	}
	return time.Time{}, false
}
