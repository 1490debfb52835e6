package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/store"
)

var letterTime = time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)

// tenantsWithLetters makes the state of two tenants and one that is not configured any more; each has three records of audits and
// of signins.interactive, all dead at sink one and, in that order, delivered at sink two. It gives the ids 1 to 18.
func tenantsWithLetters(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("state: {dir: %q}\nadmin: {listen: \"off\"}\nsinks: [{name: one, stdout: {}}, {name: two, stdout: {}}]\nsources:\n", dir)
	for _, name := range []string{"contoso", "contoso-lab"} {
		text += fmt.Sprintf("  - {name: %[1]s, entra: {tenant: %[1]s.example.com, auth: {client_id: c, client_secret_file: %[2]q}}}\n", name, secret)
	}
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("test.yaml", []byte(text), n)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := store.Open(dir, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Lanes([]string{"one", "two"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"contoso", "contoso-lab", "gone"} {
		if name != "gone" {
			if err := s.SetTenant("global", name+".example.com", "tid-"+name); err != nil {
				t.Fatal(err)
			}
		}
		for _, stream := range []string{"audits", "signins.interactive"} {
			refuseAll(t, s, event.StreamKey{Cloud: "global", Tenant: "tid-" + name, Stream: stream})
		}
	}
	return cfg
}

func refuseAll(t *testing.T, s *store.Store, key event.StreamKey) {
	t.Helper()
	c := event.PageCommit{Key: key, Slice: event.Slice{Stream: key.Stream, From: letterTime, To: letterTime.Add(time.Hour), Reader: "live"}}
	for i := range 3 {
		raw := fmt.Appendf(nil, `{"id":"%d","marker":"%s"}`, i, key)
		c.Records = append(c.Records, event.Record{ID: fmt.Sprint(i), Time: letterTime.Add(time.Duration(i) * time.Minute), Digest: 1, Raw: raw})
	}
	res, err := s.Append(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	step := event.LaneStep{Sink: "one", To: event.Position{Seq: res.Batch.Seq + 1}, Counts: map[event.StreamKey]event.SinkCounts{key: {Dead: 3}}}
	for i, r := range res.Batch.Records {
		step.Dead = append(step.Dead, event.DeadLetter{At: letterTime, Reason: fmt.Sprintf("Reason %d", i), Record: r})
	}
	for _, step := range []event.LaneStep{step, {Sink: "two", To: step.To, Counts: map[event.StreamKey]event.SinkCounts{key: {Delivered: 3}}}} {
		if err := s.Step(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLettersAreChosen: what an operator's words choose, which list, show, replay and drop have in common.
func TestLettersAreChosen(t *testing.T) {
	cfg := tenantsWithLetters(t)
	for _, tt := range []struct {
		name  string
		order app.LetterOrder
		want  string // the ids, or words of the refusal
	}{
		{"all", app.LetterOrder{}, "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18"},
		{"ids and ranges", app.LetterOrder{IDs: [][2]uint64{{17, 99}, {2, 4}, {3, 3}, {0, 0}}}, "2 3 4 17 18"},
		{"the last of all ids", app.LetterOrder{IDs: [][2]uint64{{1<<64 - 1, 1<<64 - 1}}}, ""},
		{"a range that is none", app.LetterOrder{IDs: [][2]uint64{{4, 2}}}, "4-2 is no range"},
		{"a range without end", app.LetterOrder{IDs: [][2]uint64{{0, 1<<64 - 1}}}, "is no range of ids that one order can name"},
		{"many ranges without end", app.LetterOrder{IDs: [][2]uint64{{0, 900_000}, {0, 900_000}}}, "is no range of ids that one order can name"},
		{"a sink", app.LetterOrder{Sink: "two"}, ""},
		{"an unknown sink", app.LetterOrder{Sink: "three"}, "there is no sink \"three\": there are one, two"},
		{"a stream of one source", app.LetterOrder{Stream: "contoso/audits"}, "1 2 3"},
		{"a stream of all", app.LetterOrder{Stream: "audits"}, "1 2 3 7 8 9 13 14 15"},
		{"a pattern of streams", app.LetterOrder{Stream: "contoso-lab/s*"}, "10 11 12"},
		{"a pattern of sources", app.LetterOrder{Stream: "con*/audits"}, "1 2 3 7 8 9"},
		{"a key", app.LetterOrder{Stream: "global/tid-gone/audits"}, "13 14 15"},
		{"a pattern of keys", app.LetterOrder{Stream: "global/tid-gone/*"}, "13 14 15 16 17 18"},
		{"an unknown source", app.LetterOrder{Stream: "gone/audits"}, "there is no source gone whose tenant the state file knows: there are contoso, contoso-lab"},
		{"no pattern", app.LetterOrder{Stream: "contoso/["}, "is no pattern"},
		{"a reason", app.LetterOrder{Reason: "rEASON 1", Stream: "audits"}, "2 8 14"},
		{"times", app.LetterOrder{From: "2026-01-31T08:01:00Z", To: "2026-01-31T08:02:00Z", Stream: "contoso/*"}, "2 5"},
		{"a date", app.LetterOrder{From: "2026-02-01"}, ""},
		{"an age", app.LetterOrder{To: "1s", IDs: [][2]uint64{{1, 2}}}, "1 2"},
		{"no time", app.LetterOrder{From: "soon"}, "neither a duration nor a time"},
		{"times in the wrong order", app.LetterOrder{From: "2026-01-31", To: "2026-01-31"}, "nothing lies between"},
		{"states", app.LetterOrder{States: []string{"parked", "returning"}}, ""},
		{"a state that there is not", app.LetterOrder{States: []string{"lost"}}, "a letter is dead, parked or returning"},
		{"a few", app.LetterOrder{Stream: "con*/signins.*", Limit: 2}, "4 5 and 4 more"},
	} {
		var ids []string
		done, err := app.OfflineLetters(t.Context(), cfg, "list", tt.order, func(l app.Letter) { ids = append(ids, fmt.Sprint(l.ID)) })
		if done.Letters != len(ids) {
			t.Errorf("%s: %d are counted, %d told", tt.name, done.Letters, len(ids))
		}
		if done.More > 0 {
			ids = append(ids, fmt.Sprintf("and %d more", done.More))
		}
		var refused *pipeline.OrderError
		if errors.As(err, &refused) {
			if tt.want == "" || !strings.Contains(refused.Reason, tt.want) {
				t.Errorf("%s: refused: %s, want %s", tt.name, refused.Reason, tt.want)
			}
		} else if got := strings.Join(ids, " "); got != tt.want || err != nil {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}

// orderAll has a verb done and gives what was told.
func orderAll(t *testing.T, cfg *config.Config, verb string, o app.LetterOrder) (done app.LettersDone, all []app.Letter) {
	t.Helper()
	done, err := app.OfflineLetters(t.Context(), cfg, verb, o, func(l app.Letter) { all = append(all, l) })
	if err != nil {
		t.Fatalf("%s: %v", verb, err)
	}
	return done, all
}

// TestLettersAreReplayedAndDropped: in the state file, and of what was chosen only, over several tenants in one order.
func TestLettersAreReplayedAndDropped(t *testing.T) {
	cfg := tenantsWithLetters(t)
	if _, err := app.OfflineLetters(t.Context(), cfg, "drop", app.LetterOrder{}, nil); err == nil || !strings.Contains(err.Error(), "--all") {
		t.Errorf("everything is dropped by an order that names nothing: %v", err)
	}
	if done, _ := orderAll(t, cfg, "replay", app.LetterOrder{Stream: "con*/audits"}); done.Letters != 6 {
		t.Errorf("replay: %+v", done)
	}
	if done, _ := orderAll(t, cfg, "drop", app.LetterOrder{IDs: [][2]uint64{{1, 4}}}); done.Letters != 1 {
		t.Errorf("drop takes more than what is dead: %+v", done)
	}
	if done, _ := orderAll(t, cfg, "drop", app.LetterOrder{IDs: [][2]uint64{{1, 1}}, States: []string{"returning"}}); done.Letters != 1 {
		t.Errorf("drop of what returns: %+v", done)
	}
	done, shown := orderAll(t, cfg, "show", app.LetterOrder{IDs: [][2]uint64{{2, 2}, {17, 17}}})
	if done.Letters != 2 || shown[0].State != "returning" || shown[0].Stream != "contoso/audits" || !bytes.Equal(shown[0].Raw, []byte(`{"id":"1","marker":"global/tid-contoso/audits"}`)) ||
		shown[1].State != "dead" || shown[1].Stream != "global/tid-gone/signins.interactive" || shown[1].Reason != "Reason 1" || len(shown[1].EventID) != 22 {
		t.Errorf("show: %+v", shown)
	}
	if _, listed := orderAll(t, cfg, "list", app.LetterOrder{IDs: [][2]uint64{{2, 2}}}); listed[0].Raw != nil {
		t.Error("list gives records")
	}
	st, err := app.Offline(cfg)
	if err != nil || st.Sinks[0].Pending != 5 || st.Sinks[0].Dropped != 2 || st.Sinks[0].Dead != 11 || st.Sinks[0].Letters != 11 {
		t.Errorf("%+v, %v", st.Sinks, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := app.OfflineLetters(ctx, cfg, "drop", app.LetterOrder{All: true}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("an order that was given up: %v", err)
	}
}

// TestDamagedLetterIsNamed: the disk has changed a record. It is listed with its fault, and replay tells that it stays.
func TestDamagedLetterIsNamed(t *testing.T) {
	cfg := tenantsWithLetters(t)
	file := filepath.Join(cfg.State.Dir, "state.db")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	marker := []byte(`{"id":"0","marker":"global/tid-gone/audits"}`) // too short for s2 to change: it stands in the file as it is
	hits := 0
	for at := bytes.LastIndex(data, marker); at >= 0; at = bytes.LastIndex(data[:at], marker) {
		data[at+2] ^= 1
		hits++
	}
	if hits == 0 {
		t.Fatal("the record is not to be found in the file")
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, all := orderAll(t, cfg, "list", app.LetterOrder{Stream: "global/tid-gone/audits"})
	if len(all) != 3 || !strings.Contains(all[0].Fault, "checksum") || all[1].Fault != "" {
		t.Fatalf("%+v", all)
	}
	done, _ := orderAll(t, cfg, "replay", app.LetterOrder{All: true})
	if done.Letters != 17 || len(done.Damaged) != 1 || done.Damaged[0] != 13 {
		t.Errorf("%+v", done)
	}
	if _, all := orderAll(t, cfg, "list", app.LetterOrder{States: []string{"dead"}}); len(all) != 1 || all[0].ID != 13 {
		t.Errorf("dead: %+v", all)
	}
}
