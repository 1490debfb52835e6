package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// between is a filter of whole seconds of faulty's stream, which has a record in each second from 0 to 99; hi below 0: no upper bound.
func between(lo, hi int) string {
	filter := "createdDateTime ge " + iso(epoch.Add(time.Duration(lo)*time.Second))
	if hi >= 0 {
		filter += " and createdDateTime le " + iso(epoch.Add(time.Duration(hi)*time.Second))
	}
	return filter
}

func TestFaultsAboutResults(t *testing.T) {
	// New stands at second 100 of the stream.
	poison := Rule{Kind: Poison, At: -50 * time.Second} // second 50
	for _, tc := range []struct {
		rule    Rule
		address string
		status  int
	}{
		{poison, signInsAt(between(40, 60)), 500},
		{poison, signInsAt(between(50, 51)), 500},
		{poison, signInsAt(between(40, 90), "$top=5"), 500}, // on a later page
		{poison, signInsAt(between(51, 60)), 200},
		{poison, signInsAt(between(40, 50)), 200},
		{poison, signInsAt(""), 500},
		{poison, signInsAt(kindOf(NonInteractive) + " and " + between(40, 60)), 200},
		{poison, signInsAt(between(40, 60) + " and userId eq 'nobody'"), 200},
		{poison, signInsAt("createdDateTime ge yesterday"), 400},
		{Rule{Kind: Poison, At: -50 * time.Second, Span: 10 * time.Second, Status: 502}, signInsAt(between(58, 70)), 502},
		{Rule{Kind: Poison, At: -50 * time.Second, Span: 10 * time.Second}, signInsAt(between(60, 70)), 200},

		{Rule{Kind: LongWindow, Span: 20 * time.Second}, signInsAt(between(40, 60)), 200},
		{Rule{Kind: LongWindow, Span: 20 * time.Second}, signInsAt(between(40, 61)), 504},
		{Rule{Kind: LongWindow, Span: 20 * time.Second}, signInsAt(between(80, -1)), 200},
		{Rule{Kind: LongWindow, Span: 20 * time.Second}, signInsAt(between(79, -1)), 504},
		{Rule{Kind: LongWindow, Span: 20 * time.Second, Status: 408}, signInsAt(""), 504},

		{Rule{Kind: ManyRows, Rows: 20}, signInsAt(between(40, 60)), 200},
		{Rule{Kind: ManyRows, Rows: 20}, signInsAt(between(40, 61), "$top=1"), 503},
		{Rule{Kind: ManyRows, Rows: 20}, signInsAt(between(90, -1)), 200},
		{Rule{Kind: ManyRows, Rows: 20, Stream: Audits}, signInsAt(between(40, 61)), 200},
	} {
		if tc.rule.Status == 408 {
			tc.status = 408
		}
		u, _ := faulty(t, tc.rule)
		if resp, body := u.get(tc.address); resp.StatusCode != tc.status {
			t.Errorf("%+v: %s: %d, want %d: %.200s", tc.rule, tc.address, resp.StatusCode, tc.status, body)
		}
		if n := u.server.Stats().Faults[tc.rule.Kind]; (n == 1) != (tc.status != 200 && tc.status != 400) {
			t.Errorf("%+v: %s: counted %d times", tc.rule, tc.address, n)
		}
	}
}

func TestFaultsAboutResultsHoldOnLaterPages(t *testing.T) {
	for _, rule := range []Rule{{Kind: Poison, At: -41 * time.Second}, {Kind: ManyRows, Rows: 20}, {Kind: LongWindow, Span: 20 * time.Second}} {
		rule.Page = "next"
		u, _ := faulty(t, rule)
		link := *u.page(signInsAt(between(40, 61), "$top=15")).Next
		if resp, _ := u.get(link); resp.StatusCode < 500 {
			t.Errorf("%+v: %d for the second page", rule, resp.StatusCode)
		}
	}
}

// TestLateRecordPoisonsWhenItShows polls over a record that appears after its time.
func TestLateRecordPoisonsWhenItShows(t *testing.T) {
	u, clock := faulty(t, Rule{Kind: Poison, At: -200 * time.Second})
	err := u.server.Add(Interactive, Record{Raw: []byte(`{"id":"x","createdDateTime":"2026-03-01T11:58:20Z"}`), Appears: epoch.Add(3 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]int{2 * time.Minute: 200, 3 * time.Minute: 500} {
		clock.t = epoch.Add(after)
		if resp, _ := u.get(signInsAt("createdDateTime ge 2026-03-01T11:58:00Z and createdDateTime le 2026-03-01T11:59:00Z")); resp.StatusCode != want {
			t.Errorf("after %s: %d, want %d", after, resp.StatusCode, want)
		}
	}
}

func TestLongWindowTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Script: &Script{Rules: []Rule{{Kind: LongWindow, Span: time.Hour, Delay: 30 * time.Second}}}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		u := &user{t: t, server: s, client: s.Client()}
		u.signIn(DefaultDomain)
		for back, want := range map[time.Duration]time.Duration{59 * time.Minute: 0, 2 * time.Hour: 30 * time.Second} {
			before := time.Now()
			resp, _ := u.get(signInsAt("createdDateTime ge " + iso(before.Add(-back))))
			if took := time.Since(before); took != want || (resp.StatusCode == http.StatusGatewayTimeout) != (want > 0) {
				t.Errorf("%s back: %d after %s", back, resp.StatusCode, took)
			}
		}
	})
}

func TestShortResult(t *testing.T) {
	plain, _ := faulty(t)
	want := plain.pages(signInsAt(lastMinute)) // 60 rows
	for _, tc := range []struct {
		rows int
		top  string
		left int
	}{{0, "1000", 59}, {3, "1000", 57}, {3, "20", 57}, {3, "57", 57}, {3, "58", 57}, {3, "56", 57}, {3, "60", 57}, {25, "20", 35}, {60, "1000", 0}, {70, "7", 0}} {
		for _, order := range []string{"desc", "asc"} {
			u, _ := faulty(t, Rule{Kind: ShortResult, Rows: tc.rows})
			got := u.pages(signInsAt(lastMinute, "$top="+tc.top, "$orderby=createdDateTime+"+order))
			left := slices.Clone(want)
			if order == "asc" {
				slices.Reverse(left)
			}
			if left = left[:tc.left]; !slices.Equal(got, left) {
				t.Errorf("%+v %s: %d rows, want %d", tc, order, len(got), tc.left)
			}
			var shown []string
			for row := range u.server.Shown() {
				shown = append(shown, row.ID)
			}
			if slices.Sort(shown); !slices.Equal(shown, slices.Sorted(slices.Values(left))) {
				t.Errorf("%+v %s: %d rows count as shown, want %d", tc, order, len(shown), tc.left)
			}
		}
	}
	u, _ := faulty(t, Rule{Kind: ShortResult, Times: 1})
	var counts []int
	for range 3 {
		counts = append(counts, len(u.pages(signInsAt(lastMinute, "$top=20")))) // its first page, which loses nothing, does not use up the fault
	}
	if fmt.Sprint(counts) != "[59 60 60]" {
		t.Errorf("%v rows, want 59 60 60", counts)
	}
}

func TestOldestBound(t *testing.T) {
	clock := &fixedClock{epoch}
	u := newUser(t, Options{Now: clock.now, OldestBound: time.Hour})
	for filter, want := range map[string]int{
		"":                 200,
		between(-3600, -1): 200,
		between(-3601, -1): 400,
		"createdDateTime le " + iso(epoch.Add(-2*time.Hour)): 200,
		"createdDateTime gt " + iso(epoch.Add(-2*time.Hour)): 400,
	} {
		resp, body := u.get(signInsAt(filter))
		if resp.StatusCode != want || (want == 400) != strings.Contains(string(body), "Invalid filter clause") {
			t.Errorf("%q: %d %s, want %d", filter, resp.StatusCode, body, want)
		}
	}
	clock.t = clock.t.Add(time.Second)
	if resp, _ := u.get(signInsAt(between(-3600, -1))); resp.StatusCode != 400 {
		t.Errorf("a second later: %d, want 400", resp.StatusCode)
	}
}
