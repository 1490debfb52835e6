package app

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/store"
	"github.com/logferry/logferry/pkg/timeline"
)

// Offline tells what the state file says when no process runs.
func Offline(cfg *config.Config) (pipeline.Status, error) {
	s, err := offline(cfg)
	if err != nil {
		return pipeline.Status{}, err
	}
	st := pipeline.Status{Now: time.Now(), Room: s.Room()}
	sums := map[string]event.SinkCounts{}
	names := labels(cfg, s)
	for key, l := range s.Ledger() {
		stream := pipeline.StreamStatus{Name: nameOf(names, key), Key: key.String(), Filter: s.Filter(key), PageCounts: l.PageCounts}
		cursors := s.Cursors(key)
		stream.Through, stream.Marks = timeline.CompleteThrough(cursors), s.Marks(key)
		for _, c := range cursors {
			stream.Readers = append(stream.Readers, timeline.Reader{Name: c.Reader, Pos: c.Pos, End: c.End})
		}
		st.Streams = append(st.Streams, stream)
		for sink, counts := range l.Sinks {
			sum := sums[sink]
			sum.Add(counts.SinkCounts)
			sums[sink] = sum
		}
	}
	for _, l := range s.LaneStates() {
		sink := pipeline.SinkStatus{
			Name: l.Sink, Pending: l.Pending, Bytes: l.Bytes, Oldest: l.Oldest, Letters: l.Dead, Returning: l.Returning, LetterBytes: l.Letters, SinkCounts: sums[l.Sink],
		}
		for _, n := range l.Parked {
			sink.Parked += n
		}
		st.Sinks = append(st.Sinks, sink)
	}
	slices.SortFunc(st.Streams, func(a, b pipeline.StreamStatus) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(st.Sinks, func(a, b pipeline.SinkStatus) int { return cmp.Compare(a.Name, b.Name) })
	return st, s.Close()
}

// labels gives the configured names of the tenants that the state file knows, by cloud and tenant id.
func labels(cfg *config.Config, s *store.Store) map[event.StreamKey]string {
	names := map[event.StreamKey]string{}
	for _, l := range tenants(cfg, s) {
		names[l.tenant] = l.source
	}
	return names
}

// nameOf is how status names a stream: by its source, or by its key where that is not configured.
func nameOf(labels map[event.StreamKey]string, key event.StreamKey) string {
	if source, ok := labels[event.StreamKey{Cloud: key.Cloud, Tenant: key.Tenant}]; ok {
		return source + "/" + key.Stream
	}
	return key.String()
}

// label is a source's name and the tenant that it stands for, a key without a stream.
type label struct {
	source string
	tenant event.StreamKey
}

// tenants gives the sources whose tenants the state file knows.
func tenants(cfg *config.Config, s *store.Store) (all []label) {
	for _, source := range cfg.Sources {
		f, err := entra.New(source.Entra.Graph, entra.Options{})
		if err != nil {
			continue // without a label the stream is shown by its key
		}
		if tid, ok := s.Tenant(f.Cloud(), source.Entra.Graph.Tenant); ok {
			all = append(all, label{source.Name, event.StreamKey{Cloud: f.Cloud(), Tenant: tid}})
		}
	}
	return all
}

// offline opens the state file of a configuration that nobody runs; it makes none.
func offline(cfg *config.Config) (*store.Store, error) {
	file := filepath.Join(cfg.State.Dir, "state.db")
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("%w: there is no state yet: %w", ErrUsage, err)
	}
	s, _, err := store.Open(cfg.State.Dir, store.Options{
		JournalMaxBytes: int64(cfg.State.JournalMaxBytes), LettersMaxBytes: int64(cfg.State.DeadLettersMaxBytes), Retention: Remembered,
		KeepDamaged: true, // the next run sets it aside, and says so in its log
	})
	if err != nil {
		return nil, fmt.Errorf("%w: open state: %w", ErrUsage, err)
	}
	return s, nil
}
