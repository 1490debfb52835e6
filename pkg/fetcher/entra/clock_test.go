package entra

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestClock: which Dates are believed. Times are distances from the test's beginning by the service's true time.
func TestClock(t *testing.T) {
	const min, hour = time.Minute, time.Hour
	type reply struct {
		after time.Duration // that the monotonic clock shows since the reply before
		slept time.Duration // that only the wall clock shows besides
		date  time.Duration // its Date
		from  string        // "": Microsoft; "proxy": without a request id; "mute": without a Date
		want  time.Duration // what heard returns, and the clock shows
	}
	for name, c := range map[string]struct {
		machine time.Duration // by how much the machine's clock is off
		replies []reply
	}{
		"a machine that is wrong from the start": {20 * min, []reply{{0, 0, 0, "", 0}, {min, 0, min, "", min}, {hour, 0, hour + min, "", hour + min}}},
		"a machine that is behind":               {-20 * min, []reply{{0, 0, 0, "", 0}, {min, 0, min, "", min}}},
		"small differences are followed":         {0, []reply{{0, 0, 0, "", 0}, {min, 0, 3 * min, "", 3 * min}, {min, 0, 2 * min, "", 2 * min}}},
		"one lying reply":                        {0, []reply{{0, 0, 0, "", 0}, {min, 0, 3 * hour, "", min}, {min, 0, 2 * min, "", 2 * min}}},
		"one lying reply, back":                  {0, []reply{{0, 0, 0, "", 0}, {min, 0, -3 * hour, "", min}, {min, 0, 2 * min, "", 2 * min}}},
		"every other reply lies": {0, []reply{{0, 0, 0, "", 0}, {min, 0, hour, "", min}, {min, 0, 2 * min, "", 2 * min}, {min, 0, hour + 2*min, "", 3 * min},
			{min, 0, 4 * min, "", 4 * min}, {min, 0, hour + 4*min, "", 5 * min}}},
		"two replies that disagree": {0, []reply{{0, 0, 0, "", 0}, {min, 0, hour, "", min}, {min, 0, 2 * hour, "", 2 * min}}},
		"four replies that disagree": {0, []reply{{0, 0, 0, "", 0}, {min, 0, hour, "", min}, {min, 0, 2 * hour, "", 2 * min}, {min, 0, 3 * hour, "", 3 * min},
			{min, 0, hour, "", 4 * min}}},
		"two that agree and one beside": {0, []reply{{0, 0, 0, "", 0}, {min, 0, hour, "", min}, {min, 0, hour + min, "", 2 * min}, {min, 0, hour + 2*min + 11*time.Second, "", 3 * min}}},
		"the service jumps back": {0, []reply{{0, 0, 0, "", 0}, {min, 0, -20 * min, "", min}, {min, 0, -19*min + 5*time.Second, "", 2 * min}, {min, 0, -18 * min, "", -18 * min},
			{min, 0, -17 * min, "", -17 * min}}},
		"the service jumps ahead, a proxy between": {0, []reply{{0, 0, 0, "", 0}, {min, 0, hour, "", min}, {min, 0, 9 * hour, "proxy", 2 * min}, {min, 0, hour + 2*min, "", 3 * min},
			{min, 0, hour + 3*min, "", hour + 3*min}}},
		"a cache that stands still": {0, []reply{{0, 0, 0, "", 0}, {hour, 0, 0, "", hour}, {min, 0, 0, "", hour + min}, {min, 0, 0, "", hour + 2*min}, {min, 0, 0, "", hour + 3*min}}},
		"a proxy's page":            {0, []reply{{0, 0, 0, "", 0}, {min, 0, 30 * min, "proxy", min}, {min, 0, 90, "proxy", 2 * min}}},
		"a proxy's page first":      {-5 * min, []reply{{0, 0, hour, "proxy", -5 * min}, {min, 0, min, "", min}}},
		"no Date":                   {0, []reply{{0, 0, 0, "", 0}, {min, 0, 0, "mute", min}}},
		"asleep for three hours":    {20 * min, []reply{{0, 0, 0, "", 0}, {min, 3 * hour, 3*hour + min, "", 3*hour + min}, {min, 0, 3*hour + 2*min, "", 3*hour + 2*min}}},
		"asleep, and a lie":         {0, []reply{{0, 0, 0, "", 0}, {min, 3 * hour, 9 * hour, "", min}, {min, 0, 3*hour + 2*min, "", 3*hour + 2*min}}},
		"the wall clock set ahead":  {0, []reply{{0, 0, 0, "", 0}, {min, 3 * hour, min, "", min}}},
		"the wall clock set back":   {0, []reply{{0, 0, 0, "", 0}, {min, -3 * hour, min - 3*hour, "", min}}},
	} {
		t.Run(name, func(t *testing.T) {
			wall, steady := from.Add(c.machine), time.Duration(0)
			clock := clock{machine: func() (time.Time, time.Duration) { return wall, steady }}
			for i, r := range c.replies {
				wall, steady = wall.Add(r.after+r.slept), steady+r.after
				header := http.Header{"Date": {from.Add(r.date).Format(http.TimeFormat)}, "Request-Id": {"1"}}
				switch r.from {
				case "proxy":
					header.Del("Request-Id")
				case "mute":
					header.Del("Date")
				}
				if got := clock.heard(header).Sub(from); got != r.want || clock.now().Sub(from) != r.want {
					t.Errorf("reply %d: heard %s, now %s, want %s", i+1, got, clock.now().Sub(from), r.want)
				}
			}
		})
	}
}

// TestMachineClock: a fake clock without a monotonic reading has slept never.
func TestMachineClock(t *testing.T) {
	now := from
	read := machineClock(func() time.Time { return now })
	now = now.Add(time.Hour)
	if wall, steady := read(); !wall.Equal(now) || steady != time.Hour {
		t.Errorf("%s, %s", wall, steady)
	}
	genuine := machineClock(time.Now)
	wall, _ := genuine()
	if wall != wall.Round(0) || wall.Location() != time.UTC {
		t.Errorf("%v has a monotonic reading, or a zone", wall)
	}
}

// TestPageDate: a page bears the time that was believed, and its records the clock's.
func TestPageDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, began := 0, time.Now().UTC()
		a := &api{}
		a.serve = func(*http.Request) (*http.Response, error) {
			date, next := time.Now(), "https://graph.microsoft.com/x?$skiptoken="
			if n++; n == 2 {
				date = date.Add(5 * time.Hour)
			}
			if n == 4 {
				next = ""
			} else {
				next += string(rune('a' + n))
			}
			return respond(200, map[string]string{"request-id": "1", "Date": date.UTC().Format(http.TimeFormat)}, auditPage(0, 1, next)), nil
		}
		f, at := newFetcher(t, a, testConfig(t, nil), Options{}), 0
		for page, err := range f.Fetch(t.Context(), auditSlice()) {
			if err != nil {
				t.Fatal(err)
			}
			// Dates are whole seconds.
			if off := a.at[at].Sub(page.Date); off < 0 || off >= time.Second || page.Records[0].Read.Sub(began) > 10*time.Second {
				t.Errorf("page %d bears %s, %s off, its record %s", at+1, page.Date, off, page.Records[0].Read)
			}
			at++
		}
		if at != 4 {
			t.Errorf("%d pages", at)
		}
	})
}
