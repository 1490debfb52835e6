package telemetry

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/timeline"
)

var (
	streamRows = desc("stream_rows_total", "Rows that the API has shown, by what became of them.", "stream", "state")
	through    = desc("stream_complete_through_timestamp_seconds", "Time up to which all that the API showed has been read once.", "stream")
	lastRecord = desc("stream_last_record_timestamp_seconds", "Time of the newest record read since the start.", "stream")
	lateness   = desc("stream_lateness_seconds", "How late the API has shown records since the start: a record's age when the pass went by that did not show it yet.", "stream")
	lookBack   = desc("stream_lookback_seconds", "How far live looks back now; less than configured under load.", "stream")
	rate       = desc("stream_records_per_second", "Records per second of the stream's own time, a moving average over about an hour.", "stream")
	holes      = desc("stream_holes", "Stretches that the API cannot show now, however little is asked for at once.", "stream")
	uncovered  = desc("stream_uncovered_seconds", "Total length of what a re-reader has left out, in the last 31 days.", "stream", "reader")
	gaps       = desc("stream_gap_seconds", "Total length of what cannot be had, or not surely all of it, in the last 31 days, by the kind of reader that was to read it.", "stream", "reader")
	skipped    = desc("stream_skipped_seconds", "Total length of what a sink has skipped because the journal was full, in the last 31 days.", "stream", "sink")
	marked     = desc("stream_marked_timestamp_seconds", "When such a stretch was last noted: gap, uncovered, or skipped by the sink that is named as the reader.", "stream", "kind", "reader")

	streamDescs = []*prometheus.Desc{streamRows, through, lastRecord, lateness, lookBack, rate, holes, uncovered, gaps, skipped, marked}
)

func (to output) stream(s *pipeline.StreamStatus) {
	to.count(streamRows, float64(s.New), s.Name, "new")
	to.count(streamRows, float64(s.Updated), s.Name, "updated")
	to.count(streamRows, float64(s.Seen), s.Name, "seen")
	to.count(streamRows, float64(s.Suppressed), s.Name, "suppressed")
	to.count(streamRows, float64(s.Outside), s.Name, "outside")
	to.count(streamRows, float64(s.Resent), s.Name, "resent")
	to.gauge(through, stamp(s.Through), s.Name)
	to.gauge(lastRecord, stamp(s.Last), s.Name)
	if len(s.Readers) > 0 { // else only the state file knows it: no source reads it any more
		to.gauge(lookBack, s.LookBack.Seconds(), s.Name)
		to.gauge(rate, s.Rate, s.Name)
		to.gauge(holes, float64(countHoles(s.Readers)), s.Name)
		to.lateness(s)
	}
	for of, sum := range sums(s.Marks) {
		to.gauge(of.desc, sum.length.Seconds(), s.Name, of.reader)
		to.gauge(marked, stamp(sum.at), s.Name, string(of.kind), of.reader)
	}
}

func countHoles(readers []timeline.Reader) (n int) {
	for _, r := range readers {
		if kindOf(r.Name) == timeline.Hole {
			n++
		}
	}
	return n
}

// kindOf is the reader's name without the time that it began at, of which there is no end.
func kindOf(reader string) string {
	kind, _, _ := strings.Cut(reader, "/")
	return kind
}

// lateness makes the histogram: a bucket holds what is in the ones below as well.
func (to output) lateness(s *pipeline.StreamStatus) {
	buckets := make(map[float64]uint64, len(timeline.LateBounds))
	var sum uint64
	for i, n := range s.Lateness.Counts {
		sum += n
		if i < len(timeline.LateBounds) {
			buckets[timeline.LateBounds[i].Seconds()] = sum
		}
	}
	to <- prometheus.MustNewConstHistogram(lateness, sum, s.Lateness.Sum.Seconds(), buckets, valid([]string{s.Name})...)
}

// series is one value beside the stream's name.
type series struct {
	kind   event.MarkKind
	desc   *prometheus.Desc
	reader string // or sink
}

// sum is what there is of one kind and reader.
type sum struct {
	length time.Duration
	end    time.Time // of what is in length
	at     time.Time // when one of them was last noted
}

// sums adds up the marks, which ascend by their beginnings for each reader. What two of them cover counts once.
func sums(marks []event.Mark) map[series]sum {
	if len(marks) == 0 {
		return nil
	}
	all := map[series]sum{}
	for _, m := range marks {
		of := series{kind: m.Kind}
		switch m.Kind {
		case event.Uncovered:
			of.desc, of.reader = uncovered, m.Reader
		case event.Gap:
			of.desc, of.reader = gaps, kindOf(m.Reader)
		case event.Skipped:
			of.desc, of.reader = skipped, m.Reader
		default:
			continue
		}
		of.reader = utf8(of.reader)
		s, from := all[of], m.From
		if s.end.After(from) {
			from = s.end
		}
		if m.To.After(from) {
			s.length += m.To.Sub(from)
			s.end = m.To
		}
		if m.At.After(s.at) {
			s.at = m.At
		}
		if s.length > 0 {
			all[of] = s
		}
	}
	return all
}
