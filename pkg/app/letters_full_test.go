package app_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// TestLettersFill has a sink refuse everything until its letters fill their room. It is blocked then, and nobody else is; it goes
// on when letters were dropped, over a restart too, and in the end each record is there once or was dropped.
func TestLettersFill(t *testing.T) {
	for _, many := range []int{1, 4} {
		t.Run(fmt.Sprint(many), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { testLettersFill(t, many) }) })
	}
}

func testLettersFill(t *testing.T, many int) {
	const records = 60
	w := newWorld(t, simulator.Options{}, "start: 1h\nstreams: [audits]\nreread: [30m]\ntop: 7", "good", "picky")
	w.more = ", dead_letters_max_bytes: 1MiB" // ten of the records
	noise := make([]byte, 75_000)
	rng := rand.NewChaCha8([32]byte{3})
	for i := range records {
		rng.Read(noise)
		w.add(simulator.Audits, simulator.Record{Raw: record(simulator.Audits, fmt.Sprint(i), w.began.Add(time.Duration(i)*time.Minute),
			`,"pad":"`+base64.StdEncoding.EncodeToString(noise)+`"`)})
	}
	picky := w.sinks["picky"]
	picky.many = many
	refuse := func(events []event.Event) error {
		failed := map[int]error{}
		for i := range events {
			failed[i] = fault.Refuse(errors.New("no such field"), "")
		}
		return fault.Some(failed)
	}
	picky.says = refuse
	order := func(verb string, o app.LetterOrder) int {
		t.Helper()
		done, err := app.OfflineLetters(t.Context(), w.config([]string{"good", "picky"}), verb, o, func(app.Letter) {})
		if err != nil {
			t.Fatal(err)
		}
		return done.Letters
	}
	blocked := func() uint64 {
		t.Helper()
		if says := w.fault("sink picky"); !strings.Contains(says, "state.dead_letters_max_bytes") {
			t.Errorf("the status says %q of the sink", says)
		}
		k := w.app.Status().Sinks[1]
		if k.Letters+k.Parked == 0 || k.LetterBytes > 1<<20 || len(w.app.Status().Blocked()) == 0 {
			t.Errorf("%+v", k)
		}
		return k.Letters + k.Dropped
	}
	w.start("good", "picky")
	w.until(3 * time.Hour)
	before := blocked()
	if n, _ := w.complete("good"); n != records {
		t.Errorf("the API shows %d records of %d", n, records)
	}
	w.stop()
	dropped := order("drop", app.LetterOrder{IDs: [][2]uint64{{1, 5}}})
	w.start("good", "picky")
	w.until(4 * time.Hour)
	if now := blocked(); now <= before { // how far it comes the bytes decide
		t.Errorf("%d were refused, %d after %d were dropped", before, now, dropped)
	}
	picky.mu.Lock()
	picky.says = nil
	picky.mu.Unlock()
	w.stop()
	order("replay", app.LetterOrder{All: true})
	w.start("good", "picky")
	w.until(6 * time.Hour)
	st := w.app.Status()
	w.stop()
	if k := st.Sinks[1]; k.Pending != 0 || k.Letters != 0 || k.Delivered+k.Dropped != records || k.Dropped != uint64(dropped) || dropped != 5 || len(st.Faults) > 0 {
		t.Errorf("%+v, %+v", k, st.Faults)
	}
	if got, again := len(picky.arrived()), picky.repeats(); got != records-dropped || again > 0 {
		t.Errorf("%d of %d came, %d twice", got, records-dropped, again)
	}
}
