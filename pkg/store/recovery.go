package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// recovery is the form of recovery.json, and of what the file keeps of it after a loss.
type recovery struct {
	Version int                  `json:"version"`
	At      time.Time            `json:"at"`
	Streams map[string]time.Time `json:"streams"` // stream key -> below this time every reader and every lane is done
}

// floorUnknown is how far below its earliest cursor a stream may still have records under way while its floor is not known.
const floorUnknown = time.Hour

const lossRemembered = 30 * 24 * time.Hour // no service keeps records for longer: there is nothing to be read again then

// WriteRecovery writes recovery.json: per stream the time below which every lane is done. The store does so itself once a
// minute and at Close.
func (s *Store) WriteRecovery() error {
	r := recovery{Version: 1, At: s.o.Now().UTC(), Streams: map[string]time.Time{}}
	for key, t := range s.doneBelow() {
		r.Streams[key.String()] = t
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = s.replaceFile(recoveryName, data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", recoveryName, err)
	}
	return nil
}

// doneBelow gives for each stream the time below which everything was read by every reader and settled by every lane.
func (s *Store) doneBelow() map[event.StreamKey]time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	done := maps.Clone(s.recovered)
	if done == nil {
		done = map[event.StreamKey]time.Time{}
	}
	for key, st := range s.streams {
		t := st.floor
		for _, c := range st.cursors {
			t = minTime(t, c.Pos)
		}
		if len(st.cursors) == 0 || t.IsZero() {
			continue // nothing is known of it but what was recovered
		}
		if st.floor.IsZero() {
			t = t.Add(-floorUnknown)
		}
		done[key] = t
	}
	lowest := event.Position{Seq: s.nextSeq}
	for _, l := range s.lanes {
		if l.pos.Less(lowest) {
			lowest = l.pos
		}
	}
	for _, e := range from(s.index, lowest.Seq) {
		key := s.numbered[e.stream].key
		if t, ok := done[key]; ok && e.rest(lowest) > 0 {
			done[key] = minTime(t, time.Unix(int64(e.first)*60, 0).UTC())
		}
	}
	for _, l := range s.lanes {
		for kind, set := range l.index.sets { // parked or returning: pending, too
			if t, ok := done[kind.key]; ok {
				done[kind.key] = minTime(t, time.Unix(int64(set.low)*60, 0).UTC())
			}
		}
	}
	return done
}

// minTime gives the earlier time; zero means none.
func minTime(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// readRecovery reads recovery.json. It is advisory: one that cannot be read is as good as none.
func readRecovery(dir string) (recovered map[event.StreamKey]time.Time, found bool) {
	data, err := os.ReadFile(filepath.Join(dir, recoveryName))
	if err != nil {
		return nil, !errors.Is(err, os.ErrNotExist)
	}
	r, err := decodeRecovery(data)
	if err != nil {
		return nil, true
	}
	return r.keys(), true
}

func decodeRecovery(data []byte) (recovery, error) {
	var r recovery
	if err := json.Unmarshal(data, &r); err != nil {
		return recovery{}, fmt.Errorf("decode %s: %w", recoveryName, err)
	}
	if r.Version != 1 {
		return recovery{}, fmt.Errorf("%s has version %d", recoveryName, r.Version)
	}
	return r, nil
}

func (r *recovery) keys() map[event.StreamKey]time.Time {
	out := make(map[event.StreamKey]time.Time, len(r.Streams))
	for name, t := range r.Streams {
		if key, err := event.ParseStreamKey(name); err == nil && !t.IsZero() {
			out[key] = t.UTC()
		}
	}
	return out
}

// replaceFile puts data in the place of a file: after a crash there is the old content or the new one.
func (s *Store) replaceFile(name string, data []byte) error {
	tmp := filepath.Join(s.dir, name+".tmp")
	if err := writeFile(tmp, data, !s.o.NoSync); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, name)); err != nil {
		return err
	}
	return s.syncDir()
}

// syncDir makes renames and new files in the directory durable.
func (s *Store) syncDir() error {
	if s.o.NoSync {
		return nil
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
