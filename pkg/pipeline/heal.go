package pipeline

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/timeline"
)

const (
	mostHealed  = 5000 // rows of a slice, which are kept whole
	healedBatch = 1000 // records of a batch
)

// healing reads the minutes that differ once more and journals what is missing in them.
type healing struct {
	*verification
	rows  map[string]event.Record // of the slice under way, by id
	doubt []event.Cursor          // what is read there may have been shipped before
	out   Healed
}

// heal journals what is missing or was changed; what cannot be told apart is shipped as a whole, marked uncertain.
func (v *verification) heal(ctx context.Context) error {
	h := healing{verification: v}
	h.doubt = slices.DeleteFunc(v.unread(), func(c event.Cursor) bool { return !strings.HasPrefix(c.Reader, timeline.Recovery) })
	w := sweep{target: v.target, reader: event.ReaderVerify, most: mostHealed, writes: true, tell: v.tell, begin: h.begin, page: h.page, done: h.done}
	for i := 0; i < len(v.open); {
		n := 1
		for i+n < len(v.open) && v.open[i+n] == v.open[i]+int64(n) {
			n++
		}
		from := time.Unix(v.open[i]*60, 0).UTC()
		if err := w.run(ctx, from, from.Add(time.Duration(n)*time.Minute)); err != nil {
			return err
		}
		i += n
	}
	v.out.Healed = &h.out
	return nil
}

func (h *healing) begin(event.Slice) error {
	h.rows = map[string]event.Record{}
	return nil
}

func (h *healing) page(_ context.Context, _ event.Slice, rows []event.Record) error {
	for _, r := range rows {
		r.Raw = bytes.Clone(r.Raw)
		for _, c := range h.doubt {
			if !r.Time.Before(c.Pos) && r.Time.Before(c.End) {
				r.Flags |= event.FlagUncertain
			}
		}
		h.rows[r.ID] = r
	}
	return nil
}

// done makes the slice's minutes good, one after the other.
func (h *healing) done(ctx context.Context, s event.Slice) error {
	minutes := map[int64][]event.Record{}
	for _, r := range h.rows {
		minutes[r.Time.Unix()/60] = append(minutes[r.Time.Unix()/60], r)
	}
	for _, minute := range slices.Sorted(maps.Keys(minutes)) {
		if err := h.minute(ctx, s, time.Unix(minute*60, 0).UTC(), minutes[minute]); err != nil {
			return err
		}
	}
	return nil
}

// minute compares again, because time has passed since, and journals.
func (h *healing) minute(ctx context.Context, s event.Slice, start time.Time, rows []event.Record) error {
	known, err := h.p.o.Journal.Compare(h.key, h.DigestVersion, rows)
	if err != nil {
		return err
	}
	all, err := h.minutes(start, start.Add(time.Minute))
	if err != nil {
		return err
	}
	read := all[start.Unix()/60]
	read.Start = start
	var shown shownMinute
	for i := range rows {
		shown.add(verifiedRow{id: rows[i].ID, time: rows[i].Time, timeless: rows[i].Flags&event.FlagNoTime != 0, Comparison: known[i]})
	}
	missing, changed, unclear := shown.judge(read, read)
	var exact, lacking []event.Record
	for _, r := range slices.Concat(missing, changed) {
		if shown.forgotten && !r.timeless {
			lacking = append(lacking, h.rows[r.id])
		} else {
			exact = append(exact, h.rows[r.id])
		}
	}
	if err := h.add(ctx, s, exact); err != nil {
		return err
	}
	if unclear {
		return h.again(ctx, s, &shown, read)
	}
	return h.named(ctx, s, lacking, &shown, read)
}

// add journals rows whose minute is remembered as any reader does: the seen set tells once more what is new.
func (h *healing) add(ctx context.Context, s event.Slice, rows []event.Record) error {
	for part := range slices.Chunk(rows, healedBatch) {
		n, err := h.append(ctx, event.PageCommit{Slice: s, Records: part, DropUpdates: h.Time.Updates == "drop" && !h.move, Moving: h.move})
		if err != nil {
			return err
		}
		h.count(part, n)
	}
	return nil
}

// named journals rows of a minute that is forgotten but for its count and sum, which grow with each batch: a crash in between
// leaves the rest to the next verify.
func (h *healing) named(ctx context.Context, s event.Slice, rows []event.Record, shown *shownMinute, read event.Minute) error {
	sums := map[string]uint64{}
	for _, r := range shown.rows {
		sums[r.id] = r.Sum
	}
	for part := range slices.Chunk(rows, healedBatch) {
		for i := range part {
			read.Count++
			read.Sum += sums[part[i].ID]
		}
		if err := h.force(ctx, s, part, read); err != nil {
			return err
		}
	}
	return nil
}

// again journals a whole minute, whichever of its rows were shipped before.
func (h *healing) again(ctx context.Context, s event.Slice, shown *shownMinute, read event.Minute) error {
	var rows []event.Record
	for _, r := range shown.rows {
		again := h.rows[r.id]
		again.Flags |= event.FlagUncertain
		rows = append(rows, again)
	}
	for part := range slices.Chunk(rows, healedBatch) {
		var set []event.Minute
		if &part[len(part)-1] == &rows[len(rows)-1] {
			set = []event.Minute{{Start: read.Start, Count: uint64(len(rows)), Sum: shown.sum}}
		}
		if err := h.force(ctx, s, part, set...); err != nil {
			return err
		}
	}
	return nil
}

func (h *healing) force(ctx context.Context, s event.Slice, rows []event.Record, set ...event.Minute) error {
	n, err := h.append(ctx, event.PageCommit{Slice: s, Records: rows, Force: true, Minutes: set})
	if err == nil {
		h.count(rows, n)
	}
	return err
}

func (h *healing) count(rows []event.Record, n event.PageCounts) {
	h.out.New += n.New
	h.out.Updated += n.Updated
	h.out.Suppressed += n.Suppressed
	for i := range rows {
		if rows[i].Flags&event.FlagUncertain != 0 {
			h.out.Uncertain++
		}
	}
}
