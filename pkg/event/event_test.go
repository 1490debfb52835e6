package event

import (
	"testing"
	"time"
)

func TestEventID(t *testing.T) {
	r := Record{Key: StreamKey{"global", "11111111-2222-3333-4444-555555555555", "audits"}, ID: "Directory_1", Digest: 7}
	// Pinned: receivers tell repeats by it, so it must never change.
	if got, want := r.EventID().String(), "kPhw4YSuk4--crtxSD5wlw"; got != want {
		t.Errorf("event id %q, want %q", got, want)
	}
	id := r.EventID()
	same := r
	same.Key.Cloud, same.Read, same.Flags, same.Raw = "usgov", time.Now(), FlagUncertain, []byte("{}")
	if same.EventID() != id {
		t.Error("a repeat has another id")
	}
	if same.Identify() != id || same.EventID() != id {
		t.Error("a kept id is another one")
	}
	for name, other := range map[string]Record{
		"tenant": {Key: StreamKey{"global", "other", "audits"}, ID: "Directory_1", Digest: 7},
		"stream": {Key: StreamKey{"global", r.Key.Tenant, "signins"}, ID: "Directory_1", Digest: 7},
		"id":     {Key: r.Key, ID: "Directory_2", Digest: 7},
		"digest": {Key: r.Key, ID: "Directory_1", Digest: 8},
		"border": {Key: StreamKey{"global", r.Key.Tenant, "auditsD"}, ID: "irectory_1", Digest: 7},
	} {
		if other.EventID() == id {
			t.Errorf("another %s has the same id", name)
		}
	}
}

func TestStreamKey(t *testing.T) {
	k := StreamKey{"global", "t", "signins.interactive"}
	if got, err := ParseStreamKey(k.String()); err != nil || got != k || k.Family() != "signins" {
		t.Errorf("%v, %v, family %s", got, err, k.Family())
	}
	for _, bad := range []string{"", "a/b", "a/b/c/d", "//x"} {
		if _, err := ParseStreamKey(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestSliceContains(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := Slice{From: at, To: at.Add(time.Hour)}
	for d, want := range map[time.Duration]bool{-2 * time.Second: false, -time.Second: true, 0: true, time.Hour: true, time.Hour + time.Second: true, time.Hour + 2*time.Second: false} {
		if s.Contains(at.Add(d)) != want {
			t.Errorf("%v: %v", d, !want)
		}
	}
	if open := (Slice{From: at}); !open.Contains(at.Add(1000 * time.Hour)) {
		t.Error("an open slice has an end")
	}
}

func TestTemplate(t *testing.T) {
	r := Record{Key: StreamKey{"global", "t1", "signins.interactive"}, Time: time.Date(2026, 1, 2, 23, 0, 0, 0, time.FixedZone("", -7200))}
	for text, want := range map[string]string{"": "", "plain": "plain", "entra-{family}": "entra-signins", "{tenant}/{stream}/{date}.x": "t1/signins.interactive/2026-01-03.x"} {
		tpl, err := ParseTemplate(text)
		if err != nil || string(tpl.Append(nil, &r)) != want {
			t.Errorf("%q: %q, %v", text, tpl.Append(nil, &r), err)
		}
		if constant, name := tpl.Constant(); constant != (text == want) || constant && name != text {
			t.Errorf("%q: constant %v %q", text, constant, name)
		}
	}
	for _, bad := range []string{"{user}", "{", "}", "a{b", "}{", "{}"} {
		if _, err := ParseTemplate(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestUnbalanced(t *testing.T) {
	good := func() StreamLedger {
		return StreamLedger{PageCounts: PageCounts{Rows: 21, New: 1, Updated: 2, Seen: 3, Suppressed: 4, Outside: 5, Late: 1, Resent: 6}, Sinks: map[string]SinkLedger{
			"one": {SinkCounts: SinkCounts{Delivered: 1, Filtered: 2, Dead: 3, Dropped: 4, Skipped: 5, Duplicates: 1, Truncated: 1}, Joined: 21, Pending: 6}, "two": {},
		}}
	}
	sink := func(l StreamLedger, joined, pending uint64) StreamLedger {
		c := l.Sinks["one"]
		c.Joined, c.Pending = c.Joined+joined, c.Pending+pending
		l.Sinks["one"] = c
		return l
	}
	rows := good()
	rows.Rows -= 2
	for name, c := range map[string]struct {
		l         StreamLedger
		rows, one uint64
	}{
		"it adds up":      {good(), 0, 0},
		"rows":            {rows, 2, 0},
		"a record lost":   {sink(good(), 1, 0), 0, 1},
		"one too many":    {sink(good(), 0, 3), 0, 3},
		"both went along": {sink(good(), 4, 4), 0, 0},
	} {
		got, sinks := c.l.Unbalanced()
		if want := map[bool]int{true: 1}[c.one > 0]; got != c.rows || sinks["one"] != c.one || len(sinks) != want {
			t.Errorf("%s: %d, %v", name, got, sinks)
		}
	}
}
