package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// VerifyOrder asks for a comparison of what the API shows now with what was read.
type VerifyOrder struct {
	Stretch
	Heal bool `json:"heal,omitempty"` // ship what is missing or was changed
}

// VerifyResult is the answer.
type VerifyResult struct {
	Complete bool             `json:"complete"` // nothing is missing or differs, or all of it was healed
	Streams  []VerifiedStream `json:"streams"`
}

// VerifiedStream tells what was found in one stream.
type VerifiedStream struct {
	Stream   string           `json:"stream"`
	Complete bool             `json:"complete"`
	From     time.Time        `json:"from"`
	To       time.Time        `json:"to"`
	ByID     time.Time        `json:"by_id_from,omitzero"` // rows since then were compared by id and content, older ones by the minute
	Rows     int              `json:"rows"`                // that the API shows
	Missing  int              `json:"missing"`             // rows that were never read
	Changed  int              `json:"changed"`             // rows that were read with other content
	Differ   int              `json:"minutes_differ"`      // for whatever reason
	Unclear  int              `json:"minutes_unclear"`     // of them: which of their rows are missing or changed cannot be told any more
	Gone     uint64           `json:"rows_gone"`           // rows that were read and are not shown any more
	Minutes  []VerifiedMinute `json:"minutes,omitempty"`   // the first 1000
	Records  []VerifiedRecord `json:"records,omitempty"`   // missing and changed ones, the first 1000
	Notes    []string         `json:"notes,omitempty"`
	Healed   *Healed          `json:"healed,omitempty"` // nil: not asked for, nothing to be done, or it has not come to its end
	Err      string           `json:"error,omitempty"`  // why not all could be read
}

// VerifiedMinute is a minute whose rows are not those that were read.
type VerifiedMinute struct {
	Start   time.Time `json:"start"`
	Read    uint64    `json:"read"`  // rows that were read, each once
	Shown   uint64    `json:"shown"` // rows that the API shows
	Missing int       `json:"missing,omitempty"`
	Changed int       `json:"changed,omitempty"`
	Unclear bool      `json:"unclear,omitempty"`
}

// VerifiedRecord is a row that was not read as it is now.
type VerifiedRecord struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Changed bool      `json:"changed,omitempty"` // it was read with other content; otherwise it is missing
}

// Healed counts what was journalled to make good what was found.
type Healed struct {
	New        uint64 `json:"new"`
	Updated    uint64 `json:"updated"`
	Suppressed uint64 `json:"suppressed"` // updates that updates: drop keeps back
	Uncertain  uint64 `json:"uncertain"`  // of New: may have been shipped before
}

// mostReported bounds the lists of a report.
const mostReported = 1000

// mostVerified bounds the rows of a slice, of which ids and sums are kept.
const mostVerified = 50_000

// Verify reads a closed stretch again and compares. What it finds is in the result; an error means that the order could not be
// followed, *OrderError that it has to be another one.
func (p *Pipeline) Verify(ctx context.Context, o VerifyOrder, tell func(Progress)) (VerifyResult, error) {
	targets, err := p.targets(ctx, o.Stretch)
	if err != nil {
		return VerifyResult{}, err
	}
	result := VerifyResult{Complete: true}
	for i := range targets {
		v := verification{target: &targets[i], tell: tell}
		err := v.run(ctx, o.Heal)
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		if err != nil {
			v.out.Err = err.Error()
		}
		v.out.Complete = err == nil && (v.out.Differ == 0 || v.out.Healed != nil)
		result.Complete = result.Complete && v.out.Complete
		result.Streams = append(result.Streams, v.out)
	}
	return result, nil
}

// verification is that of one stream.
type verification struct {
	*target
	tell func(Progress)
	out  VerifiedStream
	open []int64 // minutes (Unix) that differ, ascending

	// Of the slice under way:
	rows   map[string]verifiedRow // by id
	before map[int64]event.Minute // what had been read when it was begun
}

// verifiedRow is a row that the API shows.
type verifiedRow struct {
	id       string
	time     time.Time
	timeless bool
	event.Comparison
}

func (r verifiedRow) minute() int64 { return r.time.Unix() / 60 }

func (v *verification) run(ctx context.Context, heal bool) error {
	v.out.Stream = v.name
	if v.err != nil {
		return v.err
	}
	if err := v.narrow(); err != nil {
		return err
	}
	v.out.From, v.out.To, v.out.ByID = v.from, v.to, v.p.o.Journal.Floor(v.key)
	w := sweep{target: v.target, reader: event.ReaderVerify, most: mostVerified, tell: v.tell, begin: v.begin, page: v.page, done: v.done}
	err := w.run(ctx, v.from, v.to)
	if err != nil || !heal || len(v.open) == 0 {
		return err
	}
	return v.heal(ctx)
}

// narrow leaves out what the state file cannot know of.
func (v *verification) narrow() error {
	begun, ok := v.begun()
	if !ok {
		return errors.New("this stream was never read: there is nothing to compare with")
	}
	if begun = begun.Truncate(time.Minute); v.from.Before(begun) {
		v.note("reading began at %s: what is older is not compared, but resend can ship it", begun.Format(time.RFC3339))
		v.from = begun
	}
	if kept := v.p.o.Remembered; kept > 0 && v.from.Before(v.Now().Add(-kept)) {
		v.from = v.Now().Add(time.Minute - kept).Truncate(time.Minute)
		v.note("what was read is remembered for %s: what is older is not compared", kept)
	}
	// What moves on leaves its minute, so that count and sum of a minute say nothing where ids are forgotten.
	if floor := v.p.o.Journal.Floor(v.key); v.move && v.from.Before(floor) {
		v.from = floor.Add(time.Minute - 1).Truncate(time.Minute)
		v.note("records of this stream change and move on: what is older than %s is not remembered one by one and not compared, but resend can ship it", v.from.Format(time.RFC3339))
	}
	if !v.from.Before(v.to) {
		return errors.New("nothing of the stretch can be compared")
	}
	for _, c := range v.unread() {
		v.note("%s has yet to read %s to %s: what is missing there is on its way", c.Reader, c.Pos.Format(time.RFC3339), c.End.Format(time.RFC3339))
	}
	return nil
}

func (v *verification) note(format string, args ...any) {
	v.out.Notes = append(v.out.Notes, fmt.Sprintf(format, args...))
}

func (v *verification) begin(s event.Slice) (err error) {
	v.rows = map[string]verifiedRow{}
	v.before, err = v.minutes(s.From, s.To)
	return err
}

// minutes gives what was read of each minute.
func (t *target) minutes(from, to time.Time) (map[int64]event.Minute, error) {
	all, err := t.p.o.Journal.Minutes(t.key, from, to)
	by := make(map[int64]event.Minute, len(all))
	for _, m := range all {
		by[m.Start.Unix()/60] = m
	}
	return by, err
}

func (v *verification) page(_ context.Context, _ event.Slice, rows []event.Record) error {
	known, err := v.p.o.Journal.Compare(v.key, v.DigestVersion, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		v.rows[r.ID] = verifiedRow{id: r.ID, time: r.Time, timeless: r.Flags&event.FlagNoTime != 0, Comparison: known[i]}
	}
	return nil
}

// done judges the minutes of a slice.
func (v *verification) done(_ context.Context, s event.Slice) error {
	after, err := v.minutes(s.From, s.To)
	if err != nil {
		return err
	}
	v.out.Rows += len(v.rows)
	shown := map[int64]*shownMinute{}
	for _, r := range v.rows {
		m := shown[r.minute()]
		if m == nil {
			m = &shownMinute{}
			shown[r.minute()] = m
		}
		m.add(r)
	}
	for minute := s.From.Unix() / 60; minute < s.To.Unix()/60; minute++ {
		m := shown[minute]
		if m == nil {
			v.out.Gone += v.before[minute].Count
			continue
		}
		missing, changed, unclear := m.judge(v.before[minute], after[minute])
		read, known := v.before[minute].Count, m.read(missing)
		if m.forgotten {
			read = after[minute].Count
		}
		if read > known && (unclear || !m.forgotten) {
			v.out.Gone += read - known
		}
		if len(missing)+len(changed) > 0 || unclear {
			v.report(minute, VerifiedMinute{Read: read, Shown: uint64(len(m.rows)), Missing: len(missing), Changed: len(changed), Unclear: unclear})
			v.list(missing, false)
			v.list(changed, true)
		}
	}
	return nil
}

// report takes a differing minute down.
func (v *verification) report(minute int64, m VerifiedMinute) {
	m.Start = time.Unix(minute*60, 0).UTC()
	v.open = append(v.open, minute)
	v.out.Differ++
	v.out.Missing += m.Missing
	v.out.Changed += m.Changed
	if m.Unclear {
		v.out.Unclear++
	}
	if len(v.out.Minutes) < mostReported {
		v.out.Minutes = append(v.out.Minutes, m)
	}
}

func (v *verification) list(rows []verifiedRow, changed bool) {
	slices.SortFunc(rows, func(a, b verifiedRow) int { return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.id, b.id)) })
	for _, r := range rows[:min(len(rows), mostReported-len(v.out.Records))] {
		v.out.Records = append(v.out.Records, VerifiedRecord{ID: r.id, Time: r.time, Changed: changed})
	}
}
