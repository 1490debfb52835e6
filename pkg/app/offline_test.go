package app_test

import (
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/store"
)

// TestOfflineStatusKnowsWhatIsUnread: a stretch that is still to be caught up is not complete, whether a process runs or not; nor
// is a gap forgotten.
func TestOfflineStatusKnowsWhatIsUnread(t *testing.T) {
	cfg := &config.Config{State: config.State{Dir: t.TempDir()}}
	s, _, err := store.Open(cfg.State.Dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second) // marks of long ago are forgotten
	gap := event.Mark{Kind: event.Gap, Reader: "catchup/1", From: now.Add(-9 * time.Hour), To: now.Add(-8 * time.Hour), Reason: "it is gone", At: now}
	s.SaveCursors(event.StreamKey{Cloud: "global", Tenant: "tid", Stream: "audits"}, event.Moves{Cursors: []event.Cursor{
		{Reader: "live", Pos: now}, {Reader: "reread/72h0m0s", Pos: now.Add(-72 * time.Hour)},
		{Reader: "catchup/1", Pos: now.Add(-5 * time.Hour), End: now.Add(-time.Hour)},
	}, Marks: []event.Mark{gap}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := app.Offline(cfg)
	if err != nil || len(st.Streams) != 1 || !st.Streams[0].Through.Equal(now.Add(-5*time.Hour)) {
		t.Fatalf("%+v, %v; want complete through five hours ago", st.Streams, err)
	}
	if s := st.Streams[0]; len(s.Marks) != 1 || s.Marks[0] != gap || len(s.Readers) != 3 {
		t.Errorf("marks %+v, readers %+v; want the gap and three readers", s.Marks, s.Readers)
	}
}
