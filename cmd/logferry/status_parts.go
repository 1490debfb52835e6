package main

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/timeline"
)

// matching leaves out the sources and streams whose names do not match, and what is wrong with them. A source's name stands
// for its streams, and a stream's for the budget that it draws on.
func matching(st pipeline.Status, pattern string) (pipeline.Status, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return st, fmt.Errorf("%w: the pattern %q: %w", app.ErrUsage, pattern, err)
	}
	matches := func(name string) bool { ok, _ := path.Match(pattern, name); return ok }
	parts, sources := map[string]bool{}, map[string]bool{} // as faults name them
	st.Streams = slices.DeleteFunc(st.Streams, func(s pipeline.StreamStatus) bool {
		kept := matches(s.Name) || matches(sourceOf(s.Name))
		parts["stream "+s.Name] = kept
		sources[sourceOf(s.Name)] = kept || sources[sourceOf(s.Name)]
		return !kept
	})
	st.Sources = slices.DeleteFunc(st.Sources, func(s pipeline.SourceStatus) bool {
		kept := matches(s.Name) || sources[s.Name]
		parts["source "+s.Name] = kept
		return !kept
	})
	if len(st.Streams)+len(st.Sources) == 0 {
		return st, fmt.Errorf("%w: no source and no stream has a name like %q", app.ErrUsage, pattern)
	}
	st.Faults = slices.DeleteFunc(st.Faults, func(f pipeline.Fault) bool {
		kept, known := parts[f.Part]
		return known && !kept
	})
	return st, nil
}

// sourceOf gives the source's part of a stream's name.
func sourceOf(stream string) string { return stream[:max(0, strings.LastIndexByte(stream, '/'))] }

// lookBacks gives the configured look-back of each source.
func lookBacks(cfg *config.Config) map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, s := range cfg.Sources {
		if s.Entra != nil {
			all[s.Name] = s.Entra.Time.Lookback.Std()
		}
	}
	return all
}

func printStreams(w io.Writer, st pipeline.Status, configured map[string]time.Duration, running bool) {
	health := healths(st, running)
	fmt.Fprintln(w, "STREAM\tCOMPLETE THROUGH\tBEHIND\tLATE P50/P95/P99\tLOOK-BACK\tHEALTH")
	for i := range st.Streams {
		s := &st.Streams[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, when(s.Through), since(st.Now, s.Through), late(&s.Lateness), lookBack(s, configured[sourceOf(s.Name)]), health(s))
	}
}

// healths tells in a word why a stream is not healthy; what is wrong is told at length below.
func healths(st pipeline.Status, running bool) func(*pipeline.StreamStatus) string {
	words := map[string]string{} // by part
	for _, f := range st.Faults {
		switch {
		case f.Blocked:
			words[f.Part] = "blocked"
		case words[f.Part] == "" && f.Times > 0: // forecasts and holes are not failures
			words[f.Part] = "failing"
		}
	}
	return func(s *pipeline.StreamStatus) string {
		switch {
		case len(s.Readers) == 0:
			return "not configured"
		case words["stream "+s.Name] != "":
			return words["stream "+s.Name]
		case words["source "+sourceOf(s.Name)] != "":
			return "source " + words["source "+sourceOf(s.Name)]
		}
		if n := len(holes(s)); n > 0 {
			return fmt.Sprintf("holes: %d", n)
		}
		if !running {
			return "-"
		}
		return "ok"
	}
}

// lookBack tells how far live looks back where that is not what is configured.
func lookBack(s *pipeline.StreamStatus, configured time.Duration) string {
	switch {
	case s.Trails:
		return "trails " + short(s.LookBack)
	case s.LookBack > 0 && s.LookBack < configured:
		return short(s.LookBack) + " of " + short(configured)
	}
	return "-"
}

// enough is how many records the shares of lateness are told from.
const enough = 100

// late gives the lateness that 50, 95 and 99 % of the records do not exceed, as the next bound of the histogram.
func late(l *pipeline.Lateness) string {
	var all uint64
	for _, n := range l.Counts {
		all += n
	}
	if all < enough {
		return "-"
	}
	var told []string
	for _, percent := range []uint64{50, 95, 99} {
		told = append(told, bound(l, (all*percent+99)/100))
	}
	return strings.Join(told, "/")
}

// bound is the one up to which there are n records.
func bound(l *pipeline.Lateness, n uint64) string {
	var sum uint64
	for i, limit := range timeline.LateBounds {
		if sum += l.Counts[i]; sum >= n {
			return short(limit)
		}
	}
	return ">" + short(timeline.LateBounds[len(timeline.LateBounds)-1])
}

// short drops the zero minutes and seconds: 15m, 72h.
func short(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func printSinks(w io.Writer, st pipeline.Status) {
	fmt.Fprintln(w, "\nSINK\tPENDING\tOLDEST PENDING\tDELIVERED\tFILTERED\tDEAD\tDROPPED\tSKIPPED\tDEAD KEPT\tPARKED\tRETURNING\tIN FLIGHT")
	for _, s := range st.Sinks {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n",
			s.Name, s.Pending, when(s.Oldest), s.Delivered, s.Filtered, s.Dead, s.Dropped, s.Skipped, s.Letters, s.Parked, s.Returning, s.InFlight)
	}
}

func printBudget(w io.Writer, st pipeline.Status) {
	if len(st.Sources) == 0 {
		return
	}
	fmt.Fprintln(w, "\nBUDGET\tREQUESTS\tUSED/S\tCAPACITY/S\tDEMAND/S\tWAITING\tTHROTTLED\tPAUSED\tAPPS NEEDED")
	for _, s := range st.Sources {
		var used uint64
		waiting := 0
		for class := range event.Classes {
			used += s.Spent.Requests[class]
			waiting += s.Spent.Waiting[class]
		}
		paused := short(s.Spent.Paused)
		if s.Spent.Until.After(st.Now) {
			paused += " and now"
		}
		perSecond := float64(used) / max(1, st.Now.Sub(st.Started).Seconds())
		fmt.Fprintf(w, "%s\t%d\t%.2f\t%.2f\t%.2f\t%d\t%d\t%s\t%d\n", s.Name, used, perSecond, s.Capacity, s.Demand, waiting, s.Spent.Throttled, paused, s.Apps)
	}
}

// printCredentials shows when credentials end, of those whose end is known.
func printCredentials(w io.Writer, st pipeline.Status) {
	head := "\nCREDENTIAL\tENDS\n"
	for _, s := range st.Sources {
		if !s.CredentialExpires.IsZero() {
			fmt.Fprintf(w, "%s%s\t%s\n", head, s.Name, when(s.CredentialExpires))
			head = ""
		}
	}
}
