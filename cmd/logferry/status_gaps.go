package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/timeline"
)

const mostGaps = 20 // that a person gets to see

// hole is shown like the marks, but it is a reader: it goes as soon as it has been read.
const hole event.MarkKind = "hole"

// stretch is a mark and whose it is.
type stretch struct {
	stream string
	event.Mark
}

// printGaps lists what there is to know about stretches of the streams' time lines, the newest first.
func printGaps(w io.Writer, streams []pipeline.StreamStatus) {
	var all []stretch
	for i := range streams {
		s := &streams[i]
		for _, m := range append(holes(s), s.Marks...) {
			all = append(all, stretch{s.Name, m})
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b stretch) int {
		return cmp.Or(b.To.Compare(a.To), b.From.Compare(a.From), cmp.Compare(a.stream, b.stream), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Reader, b.Reader))
	})
	fmt.Fprintln(w, "\nGAPS")
	for _, s := range all[:min(len(all), mostGaps)] {
		reason := ""
		if s.Reason != "" {
			reason = ": " + s.Reason
		}
		fmt.Fprintf(w, "%s, %s to %s\n  %s%s\n", s.stream, when(s.From), when(s.To), inWords(s.Mark), reason)
	}
	if rest := len(all) - mostGaps; rest > 0 {
		fmt.Fprintf(w, "and %d more\n", rest)
	}
}

func inWords(m event.Mark) string {
	switch m.Kind {
	case event.Gap:
		return "may lack records for good (" + m.Reader + ")"
	case event.Skipped:
		return "not sent to " + m.Reader
	case event.Uncovered:
		return "read less often than configured (without " + m.Reader + ")"
	case event.Doubt:
		return "what is found there may have been shipped before"
	case hole:
		return "the API cannot show it now, it is tried again"
	}
	return string(m.Kind) + " " + m.Reader
}

func holes(s *pipeline.StreamStatus) (all []event.Mark) {
	for _, r := range s.Readers {
		if strings.HasPrefix(r.Name, timeline.Hole+"/") {
			all = append(all, event.Mark{Kind: hole, Reader: r.Name, From: r.Pos, To: r.End})
		}
	}
	return all
}
