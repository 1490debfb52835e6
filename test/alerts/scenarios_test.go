package alerts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
	"github.com/logferry/logferry/pkg/telemetry"
)

const (
	hour   = time.Hour
	minute = time.Minute
)

// certified signs in with a certificate.
var certified = &load{name: "certificate", span: 3 * hour, input: usual.input, options: usual.options}

func loads() []*load { return []*load{usual, changing, day, busy, large, losing, certified} }

// scenario is a world in which something is wrong.
type scenario struct {
	name    string
	load    *load
	rules   []simulator.Rule                        // of the API
	options func(began time.Time) simulator.Options // instead of the load's
	input   string                                  // besides the load's
	live    func(w *world)
	fires   []firing
}

// through starts, goes on to from, lets what happen, and lives until the end with a restart at another time.
func through(from time.Duration, what func(w *world), restart, end time.Duration) func(*world) {
	return func(w *world) {
		w.start()
		w.until(from)
		if what != nil {
			what(w)
		}
		w.until(restart)
		w.restart()
		w.until(end)
	}
}

const (
	audits = self + `,stream="contoso/audits"`
	siem   = self + `,sink="siem"`
	// uncovered is what the youngest re-reader has left out.
	uncovered = self + `,kind="uncovered",reader="reread/30m0s",stream="contoso/audits"`

	contoso = self + `,source="contoso"`
)

func scenarios() []scenario {
	return append(ofTheProcess(), append(ofTheSource(), ofTheSink()...)...)
}

func ofTheProcess() []scenario {
	return []scenario{
		{name: "process gone", load: usual, live: func(w *world) {
			w.start()
			w.until(hour)
			w.stop()
			w.until(2 * hour)
			w.target = false
			w.until(3 * hour)
		}, fires: []firing{
			{"LogferryDown", self, hour + 7*minute, 2 * hour, "logferry-0 does not answer"},
			{"LogferryAbsent", `job="logferry"`, 2*hour + 7*minute, 3 * hour, "in job logferry"},
		}},
		{name: "bad configuration", load: usual, live: func(w *world) {
			w.start()
			w.until(hour)
			w.write("test.yaml", w.text()+"colour: red\n")
			w.until(3 * hour)
		}, fires: []firing{{"LogferryReloadFailed", self, hour + 10*minute, 3 * hour, "refuses the changed"}}},
		{name: "only the pod that idles is left", load: usual, live: func(w *world) {
			w.beside = telemetry.NewMetrics("test")
			w.beside.Idle()
			w.start()
			w.until(hour)
			w.stop()
			w.target = false
			w.until(2 * hour)
		}, fires: []firing{{"LogferryAbsent", `job="logferry"`, hour + 12*minute, 2 * hour, "in job logferry"}}},
		{name: "crash loop", load: usual, live: func(w *world) {
			w.start()
			for i := range 8 {
				w.until(hour + time.Duration(i)*9*minute)
				w.restart()
			}
			w.until(2*hour + 20*minute)
		}, fires: []firing{{"LogferryRestarts", self, hour + 25*minute, 2*hour + 20*minute, "times within an hour"}}},
		{name: "state file gone", load: usual, live: through(hour, func(w *world) {
			w.stop()
			if err := os.Remove(filepath.Join(w.path("state"), "state.db")); err != nil {
				w.Fatal(err)
			}
			w.start()
		}, 2*hour, 3*hour), fires: []firing{{"LogferryStateLost", self, hour + 2*minute, 3 * hour, "lost its state file"}}},
		{name: "ledger broken", load: usual, live: through(hour, func(w *world) { w.unequal.Store(true) }, 2*hour, 3*hour),
			fires: []firing{{"LogferryLedgerUnbalanced", self, hour + 2*minute, 3 * hour, "by 1 record"}}},
		{name: "never up", load: usual, live: func(w *world) { w.until(hour) }, fires: []firing{
			{"LogferryDown", self, 7 * minute, hour, "logferry-0 does not answer"},
			{"LogferryAbsent", "", 0, hour, ""},
		}},
		{name: "all pods idle", load: usual, live: func(w *world) {
			w.idle = telemetry.NewMetrics("test")
			w.idle.Idle()
			w.until(hour)
		}, fires: []firing{{"LogferryAbsent", `job="logferry"`, 7 * minute, hour, "only ones that idle"}}},
		{name: "clock off", load: usual, live: through(hour, func(w *world) { w.ahead.Store(int64(10 * minute)) }, 2*hour, 3*hour),
			fires: []firing{{"LogferryClockOff", contoso, hour + 20*minute, 3 * hour, "9m 59s off"}}},
	}
}

func ofTheSource() []scenario {
	return []scenario{
		{name: "consent withdrawn", load: usual, rules: []simulator.Rule{{Kind: simulator.NoRole, Stream: simulator.Audits, From: hour}}, live: through(hour, nil, 3*hour, 4*hour),
			fires: []firing{
				{"LogferrySourceBlocked", `blocked="true",` + self + `,part="stream contoso/audits"`, hour + 20*minute, 4 * hour, "stream contoso/audits"},
				{"LogferryStreamBehind", audits, 2*hour + 20*minute, 4 * hour, "contoso/audits is"},
				{"LogferryUncovered", uncovered, 3 * hour, 4 * hour, "Reader reread/30m0s has left out"},
			}},
		{name: "no sign-in", load: usual, rules: []simulator.Rule{{Kind: simulator.ServerError, Path: "oauth2"}}, live: through(hour, nil, 90*minute, 2*hour),
			fires: []firing{{"LogferrySourceUnread", contoso, 35 * minute, 2 * hour, "source contoso"}}},
		{name: "API down", load: usual, rules: []simulator.Rule{{Kind: simulator.ServerError, Stream: simulator.Audits, From: hour}}, live: through(hour, nil, 3*hour, 4*hour),
			fires: []firing{
				{"LogferryStreamBehind", audits, 2*hour + 20*minute, 4 * hour, "contoso/audits is"},
				{"LogferryStreamFailing", self + `,part="stream contoso/audits",stream="contoso/audits"`, 2*hour + 50*minute, 4 * hour, "contoso/audits"},
				{"LogferryUncovered", uncovered, 3 * hour, 4 * hour, "left out"},
			}},
		{name: "certificate ends in ten days", load: certified, live: ending(10 * 24 * hour),
			fires: []firing{{"LogferryCredentialExpires", contoso, 20 * minute, 3 * hour, "ends in 9d 2"}}},
		{name: "certificate ends tomorrow", load: certified, live: ending(24 * hour),
			fires: []firing{{"LogferryCredentialEnds", contoso, 20 * minute, 3 * hour, "ends in 21h"}}},
		{name: "storm of updates", load: changing, options: func(began time.Time) simulator.Options { return twoStreams(began, hour, 0.05, 0.9) },
			live: through(hour, nil, 3*hour, 4*hour), fires: []firing{
				{"LogferryUpdateStorm", audits, 2*hour + 30*minute, 4 * hour, "records have changed"},
				{"LogferryUpdateStorm", self + `,stream="contoso/signins.interactive"`, 2*hour + 30*minute, 4 * hour, ""},
			}},
		{name: "throttled", load: usual, rules: []simulator.Rule{{Kind: simulator.Throttle, Every: 2, RetryAfter: "50", From: hour}}, live: through(hour, nil, 3*hour, 4*hour),
			fires: []firing{{"LogferryThrottled", contoso, 2*hour + 10*minute, 4 * hour, "% of the time"}}},
		{name: "more than the budget", load: busy, input: "budget: {requests: 1, per: 30s}", live: through(hour, nil, 3*hour+30*minute, 4*hour),
			fires: []firing{
				{"LogferryBudgetExceeded", contoso, 3*hour + 15*minute, 4 * hour, "it needs"},
				{"LogferryUncovered", uncovered, 3*hour + 15*minute, 4 * hour, "reread/30m0s"},
			}},
		{name: "a second that fails", load: day, rules: []simulator.Rule{{Kind: simulator.Poison, Stream: simulator.Audits, At: -22 * hour}},
			live: func(w *world) {
				w.audit("poison", w.began.Add(-22*hour+time.Second/2), "")
				through(hour, nil, 3*hour+30*minute, 4*hour)(w)
			},
			fires: []firing{
				{"LogferryHole", audits, 90 * minute, 2 * hour, "cannot show"},
				{"LogferryGap", self + `,kind="gap",reader="hole",stream="contoso/audits"`, 3*hour + 10*minute, 4 * hour, "contoso/audits lacks"},
			}},
		{name: "new members", load: usual, live: func(w *world) {
			for i := range 900 {
				w.audit(fmt.Sprint("odd", i), w.began.Add(hour+time.Duration(i)*12*time.Second), `,"brandNewMember":"x"`)
			}
			through(hour, nil, 3*hour, 4*hour)(w)
		}, fires: []firing{{"LogferryUnknownMembers", self + `,stream="audits"`, 2 * hour, 4 * hour, "records of audits"}}},
	}
}

func ofTheSink() []scenario {
	return []scenario{
		{name: "token refused", load: usual, live: through(hour, func(w *world) { w.sink.set(always(fault.Block(errors.New("the token is disabled")))) }, 3*hour, 4*hour),
			fires: []firing{
				{"LogferrySinkBlocked", `blocked="true",` + self + `,part="sink siem"`, hour + 20*minute, 4 * hour, "sink siem"},
				{"LogferryBacklogOld", siem, 2*hour + 20*minute, 4 * hour, "sink siem is"},
			}},
		{name: "sink down", load: large, live: through(0, func(w *world) { w.sink.set(always(errors.New("connection refused"))) }, 3*hour, 6*hour+30*minute),
			fires: []firing{
				{"LogferrySinkFailing", `blocked="false",` + self + `,part="sink siem"`, 45 * minute, 6*hour + 30*minute, "sink siem"},
				{"LogferryBacklogOld", siem, 90 * minute, 6*hour + 30*minute, "sink siem is"},
				{"LogferryJournalFilling", self, 90 * minute, 5 * hour, "is full in"},
				{"LogferryJournalFull", self, 6 * hour, 6*hour + 30*minute, "nothing is read"},
			}},
		{name: "sink that may lose records", load: losing, live: through(0, func(w *world) { w.sink.set(always(errors.New("connection refused"))) }, 3*hour, 7*hour),
			fires: []firing{
				{"LogferrySinkFailing", `blocked="false",` + self + `,part="sink siem"`, 45 * minute, 7 * hour, "sink siem"},
				{"LogferryBacklogOld", siem, 90 * minute, 7 * hour, "sink siem is"},
				{"LogferryJournalFilling", self, 90 * minute, 5 * hour, "is full in"},
				{"LogferrySkipped", self + `,kind="skipped",reader="siem",stream="contoso/audits"`, 6 * hour, 7 * hour, "sink siem has lost records"},
			}},
		{name: "acknowledgements missing", load: usual, live: through(hour, func(w *world) {
			n := 0
			w.sink.set(func([]event.Event) error {
				if n++; n%4 > 0 {
					return errors.New("no acknowledgement within 1m0s")
				}
				return nil
			})
		}, 3*hour, 4*hour), fires: []firing{{"LogferrySendsFail", siem, 2 * hour, 4 * hour, "sink siem"}}},
		{name: "poison records", load: usual, live: through(hour, func(w *world) {
			n := 0
			w.sink.set(func(events []event.Event) error {
				failed := map[int]error{}
				for i := range events {
					if n++; n%10 == 0 {
						failed[i] = fault.Refuse(errors.New("no such field"), "")
					}
				}
				return fault.Some(failed)
			})
		}, 3*hour, 4*hour), fires: []firing{{"LogferryDeadLetters", siem, hour + 30*minute, 4 * hour, "sink siem"}}},
	}
}

// ending lives with a certificate that ends so long after the beginning.
func ending(after time.Duration) func(*world) {
	return func(w *world) {
		w.certificate(after)
		through(hour, nil, 2*hour, 3*hour)(w)
	}
}

// certificate has the app sign in by a certificate that ends so long after now.
func (w *world) certificate(lasts time.Duration) {
	key, cert, err := authtest.Pair(time.Now().Add(lasts))
	if err != nil {
		w.Fatal(err)
	}
	w.write("certificate", string(authtest.PEM(key, cert)))
	w.auth = fmt.Sprintf("{client_id: %s, certificate_file: %q}", authtest.Client, w.path("certificate"))
	g := &gate{Authority: &authtest.Authority{}, next: w.sim.Client().Transport}
	g.Authority.Issue = g.issue
	g.Authority.Register(cert)
	w.sign = g
}
