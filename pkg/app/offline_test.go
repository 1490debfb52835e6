package app_test

import (
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/store"
)

// TestOfflineStatusKnowsWhatIsUnread: a stretch that is still to be caught up is not complete, whether a process runs or not.
func TestOfflineStatusKnowsWhatIsUnread(t *testing.T) {
	cfg := &config.Config{State: config.State{Dir: t.TempDir()}}
	s, _, err := store.Open(cfg.State.Dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s.SaveCursors(event.StreamKey{Cloud: "global", Tenant: "tid", Stream: "audits"}, event.Moves{Cursors: []event.Cursor{
		{Reader: "live", Pos: now}, {Reader: "reread/72h0m0s", Pos: now.Add(-72 * time.Hour)},
		{Reader: "catchup/1", Pos: now.Add(-5 * time.Hour), End: now.Add(-time.Hour)},
	}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := app.Offline(cfg)
	if err != nil || len(st.Streams) != 1 || !st.Streams[0].Through.Equal(now.Add(-5*time.Hour)) {
		t.Errorf("%+v, %v; want complete through five hours ago", st.Streams, err)
	}
}
