package app_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestAsk_StopsAndNobodyNotices has the API fail in one way for two days. splunk/splunk-add-on-microsoft-azure#77: the audit input
// just stops, and nothing in the log says so. The Graph source of SumoLogic retries for 90 minutes and then quits. Expected: on each
// of the days status names the stall, and since when, the log has told of it within the last quarter of an hour, complete_through
// stands still so that an alert on it fires, the other stream goes on. Twenty minutes after its end all is well by itself, and
// in the end all is there, once.
func TestAsk_StopsAndNobodyNotices(t *testing.T) {
	const from, days, poll = time.Hour, 48 * time.Hour, 15 * time.Minute
	// A request that hangs is given up after two minutes; all that may be under way at once may be of the sick stream.
	const held = 2 * time.Minute
	for name, c := range map[string]struct {
		rule    simulator.Rule
		says    string
		blocked bool // /healthz says so, too
	}{
		"no reply":     {simulator.Rule{Kind: simulator.Slow, Delay: time.Hour}, "no complete reply within", false},
		"server error": {simulator.Rule{Kind: simulator.ServerError}, "http status 503", false},
		"connection":   {simulator.Rule{Kind: simulator.Reset}, "get page", false},
		"no licence":   {simulator.Rule{Kind: simulator.NoLicence}, "needs a licence", true},
		"token":        {simulator.Rule{Kind: simulator.ExpiredToken}, "access token was refused", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const sick, well = simulator.Audits, simulator.Interactive
				began := time.Now()
				c.rule.Stream, c.rule.From, c.rule.Until = sick, from, from+days
				o := simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{c.rule}}}
				for _, stream := range []string{sick, well} {
					o.Generate = append(o.Generate, simulator.Generate{Stream: stream, Rate: 0.002, Since: began.Add(-time.Hour), Until: began.Add(from + days + time.Hour)})
				}
				w := newWorld(t, o, "start: 1h\npoll: 15m\nreread: [2h]\nstreams: [signins.interactive, audits]", "out")
				logs := w.startLogged("out")
				part, through := "stream contoso/"+sick, `logferry_stream_complete_through_timestamp_seconds{stream="contoso/audits"}`
				stood := 0.0
				for _, day := range []time.Duration{from + 2*time.Hour, from + 24*time.Hour, from + days - time.Minute} {
					w.until(day - 15*time.Minute)
					logs.TakeAll()
					w.until(day)
					if logs.FilterMessageSnippet("failed").FilterFieldKey("error").Len() == 0 {
						t.Errorf("after %s: nothing in the log of the last quarter of an hour", day)
					}
					for _, f := range w.app.Status().Faults {
						if f.Part != part {
							t.Errorf("after %s status also names %s: %s", day, f.Part, f.Err)
						} else if late := f.Since.Sub(began.Add(from)); late < 0 || late > poll+4*time.Minute || f.Blocked != c.blocked || f.Times < 10 {
							t.Errorf("after %s status says %+v", day, f)
						}
					}
					if says := w.fault(part); !strings.Contains(says, c.says) {
						t.Errorf("after %s status says %q, want %q", day, says, c.says)
					}
					if code, body := w.ask("/healthz"); c.blocked != (code == http.StatusServiceUnavailable && strings.Contains(body, c.says)) {
						t.Errorf("after %s /healthz says %d: %s", day, code, body)
					}
					at := w.metric(through)
					if most := float64(began.Add(from).Unix()); at > most || stood != 0 && at != stood {
						t.Errorf("after %s complete_through is %.0f s after the fault's beginning, %.0f s after what it was", day, at-most, at-stood)
					}
					stood = at
				}
				w.until(from + days + 20*time.Minute)
				w.healthy()
				if lag := time.Since(w.stream(sick).Through); lag > poll+time.Minute {
					t.Errorf("twenty minutes after the end complete_through lags by %s", lag)
				}
				w.until(from + days + 4*time.Hour)
				w.stop()
				if records, _ := w.complete("out"); records < 700 {
					t.Errorf("only %d records", records)
				}
				if slow := w.slowest("out", well, began); slow > poll+queue+held {
					t.Errorf("a record of the other stream came %s after its time", slow)
				}
				w.checkBudget()
			})
		})
	}
}

// expiry is a sign-in service whose secret expires: from then on the first one is refused as Entra does, and another one is good.
type expiry struct {
	next http.RoundTripper
	at   time.Time
}

// RoundTrip implements http.RoundTripper.
func (x *expiry) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(req.URL.Path, "/token") || time.Now().Before(x.at) {
		return x.next.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	if form.Get("client_secret") == simulator.DefaultClientSecret {
		const said = `{"error":"invalid_client","error_description":"AADSTS7000222: The provided client secret keys for app are expired. Trace ID: 0","error_codes":[7000222]}`
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
			Body: io.NopCloser(strings.NewReader(said)), ContentLength: int64(len(said))}, nil
	}
	form.Set("client_secret", simulator.DefaultClientSecret)
	req = req.Clone(req.Context())
	text := []byte(form.Encode())
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return x.next.RoundTrip(req)
}

// TestAsk_ExpiredSecretIsSilence: microsoft/Recurring-Integrations-Scheduler#156, webdevops/azure-metrics-exporter#135,
// deckhouse/deckhouse#7549. The client secret expires, and nobody learns why nothing comes. Expected, whether it expires while we
// run or before we start: the part that waits is Blocked with a message of this cause alone, on /healthz, too; once the file holds
// another secret it goes on without a restart, and nothing of the day is missing.
func TestAsk_ExpiredSecretIsSilence(t *testing.T) {
	for name, c := range map[string]struct {
		at    time.Duration
		parts []string
	}{
		"while it runs":     {time.Hour, []string{"stream contoso/audits", "stream contoso/signins.interactive"}},
		"before it started": {0, []string{"source contoso"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const renewed = 24 * time.Hour
				began := time.Now()
				var o simulator.Options
				for _, stream := range []string{simulator.Interactive, simulator.Audits} {
					o.Generate = append(o.Generate, simulator.Generate{Stream: stream, Rate: 0.002, Since: began.Add(-time.Hour), Until: began.Add(renewed + time.Hour)})
				}
				w := newWorld(t, o, "start: 3d\npoll: 10m\nreread: [2h]\nstreams: [signins.interactive, audits]", "out")
				w.wire.next = &expiry{next: w.wire.next, at: began.Add(c.at)}
				logs := w.startLogged("out")
				for _, at := range []time.Duration{3 * time.Hour, renewed - time.Minute} {
					w.until(at)
					code, health := w.ask("/healthz")
					for _, part := range c.parts {
						if says := w.fault(part); !strings.Contains(says, "the client secret has expired") || !strings.Contains(says, "AADSTS7000222") {
							t.Errorf("status says of %s %q", part, says)
						}
						if code != http.StatusServiceUnavailable || !strings.Contains(health, part) || strings.Count(health, "has expired") != len(c.parts) {
							t.Errorf("/healthz says %d: %s", code, health)
						}
					}
					if logs.FilterMessageSnippet("failed").Len() == 0 {
						t.Error("nothing in the log")
					}
					logs.TakeAll()
				}
				w.write("secret", "another secret")
				w.until(renewed + 20*time.Minute) // the longest pause between two attempts is 5 minutes and 30 %
				w.healthy()
				w.until(renewed + 4*time.Hour)
				w.stop()
				if records, _ := w.complete("out"); records < 300 {
					t.Errorf("only %d records", records)
				}
				w.checkBudget()
			})
		})
	}
}

// TestAsk_PollsWhateverTheInterval: splunk/splunk-add-on-microsoft-azure#97. It polls every minute or two whatever the interval is.
// Expected: exactly one poll to the interval in quiet hours, and of the re-readers no more than their ages allow.
func TestAsk_PollsWhateverTheInterval(t *testing.T) {
	for poll, polls := range map[string]int{"1m": 60, "5m": 12, "20m": 3, "1h": 1} {
		t.Run(poll, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, simulator.Options{}, "start: 1h\npoll: "+poll+"\nstreams: [audits]", "out")
				heard := w.listen()
				w.start("out")
				const hours = 3
				from := w.began.Add(2*time.Hour - time.Second)
				w.until(2*time.Hour + hours*time.Hour + time.Minute)
				w.stop()
				live, others := 0, 0
				var last time.Time
				for _, e := range heard.between(from, from.Add(hours*time.Hour)) {
					if !e.live {
						others++
						continue
					}
					if live++; !last.IsZero() && e.at.Sub(last) < time.Hour/time.Duration(polls)-queue {
						t.Errorf("a poll %s after the one before", e.at.Sub(last))
					}
					last = e.at
				}
				if live != hours*polls && live != hours*polls-1 { // each is a little later than the interval: they share one limiter
					t.Errorf("%d polls in %d hours", live, hours)
				}
				// 30m reads every 7.5 minutes, 2h every half hour, the others every hour.
				if others > hours*(8+2+1+1) {
					t.Errorf("%d other requests in %d hours", others, hours)
				}
			})
		})
	}
}

// TestAsk_AHungStreamTakesAllHands: splunk/splunk-add-on-microsoft-azure#77 seen from beside: requests for one stream hang, and what
// is new of the others waits for them.
func TestAsk_AHungStreamTakesAllHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sick, well = simulator.Audits, simulator.Interactive
		began := time.Now()
		w := newWorld(t, simulator.Options{Script: &simulator.Script{Rules: []simulator.Rule{{Kind: simulator.Slow, Delay: time.Hour, Stream: sick, From: time.Hour}}},
			Generate: []simulator.Generate{{Stream: well, Rate: 0.01, Since: began.Add(-time.Hour), Until: began.Add(6 * time.Hour)}}},
			"start: 1h\npoll: 1m\nreread: [30m]\nstreams: [signins.interactive, audits]", "out")
		w.start("out")
		w.until(6 * time.Hour)
		if slow := w.slowest("out", well, began); slow > time.Minute+queue {
			t.Errorf("a record of the other stream came %s after its time", slow)
		}
		if n := len(w.stream(sick).Readers); n > 4 {
			t.Errorf("the hung stream has %d readers", n)
		}
	})
}
