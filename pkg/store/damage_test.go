package store

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
)

var places = flag.Int("places", 50, "places of the damage test")

const firstPending = 12

// filled makes a state file with some of everything, and gives its batches by seq.
func filled(t *testing.T, dir string) map[uint64]*event.Batch {
	s := open(t, dir, fastOptions())
	if err := s.Lanes([]string{"one", "two"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(9, 9))
	batches := map[uint64]*event.Batch{}
	for i := range 60 {
		c := page([]event.StreamKey{keyA, keyB}[i%2])
		for j := range 1 + r.IntN(40) {
			record := rec(fmt.Sprint(i, "-", j), noon.Add(time.Duration(i*60+j)*time.Second), 1)
			noise := make([]byte, r.IntN(600))
			for k := range noise {
				noise[k] = byte('a' + r.IntN(26))
			}
			record.Raw = append(record.Raw, noise...)
			c.Records = append(c.Records, record)
		}
		c.Cursors = []event.Cursor{{Reader: "live", Pos: noon.Add(time.Duration(i) * time.Minute)}}
		res := mustAppend(t, s, c)
		batches[res.Batch.Seq] = res.Batch
	}
	for _, sink := range []string{"one", "two"} {
		for seq := uint64(1); seq < firstPending; seq++ {
			b := batches[seq]
			step := event.LaneStep{Sink: sink, To: event.Position{Seq: seq + 1}, Counts: map[event.StreamKey]event.SinkCounts{
				b.Key: {Dead: 1, Delivered: uint64(len(b.Records) - 1)}}}
			step.Dead = []event.DeadLetter{{At: noon, Reason: "refused", Record: b.Records[0]}}
			if err := s.Step(bg, step); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return batches
}

// TestDamage changes the file at seeded places while nobody has it open. Whatever comes of it, the process lives and no
// record is given out that is not, byte for byte, one that was appended.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	batches := filled(t, dir)
	whole, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]int{}
	for seed := range uint64(*places) {
		r := rand.New(rand.NewPCG(seed, 2))
		data := append([]byte(nil), whole...)
		// The file is grown in large steps: most of it was never written.
		at, n := r.IntN(min(len(data), usedBytes(whole))-64), 1+r.IntN(64)
		if seed%2 == 0 { // the head of a page: structure, not records
			at = at/os.Getpagesize()*os.Getpagesize() + r.IntN(48)
		}
		what := r.IntN(3)
		for i := at; i < at+n; i++ {
			switch what {
			case 0:
				data[i] ^= 1 << r.IntN(8)
			case 1:
				data[i] = byte(r.Uint32())
			default:
				data[i] = 0
			}
		}
		to := t.TempDir()
		if err := os.WriteFile(filepath.Join(to, fileName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		copyFile(t, filepath.Join(dir, recoveryName), filepath.Join(to, recoveryName))
		outcomes[outcome(t, to, batches, fmt.Sprintf("seed %d, %d bytes at %d, way %d", seed, n, at, what))]++
	}
	t.Logf("%d places: %v", *places, outcomes)
	if outcomes["as before"] == 0 || outcomes["batch taken out"] == 0 || outcomes["set aside"] == 0 {
		t.Errorf("the places do not show every outcome: %v", outcomes)
	}
}

func usedBytes(file []byte) int {
	n := len(file)
	for n > 0 && file[n-1] == 0 {
		n--
	}
	return n
}

func outcome(t *testing.T, dir string, batches map[uint64]*event.Batch, where string) string {
	s, opened, err := Open(dir, fastOptions())
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer func() { s.Close() }()
	if opened.SetAside != "" {
		if !opened.Lost || len(opened.Recovered) != 2 {
			t.Errorf("%s: %+v", where, opened)
		}
		return "set aside"
	}
	result, seen := "as before", 0
	for seq := uint64(0); ; {
		b, err := s.Read(seq)
		var bad *DamagedError
		if errors.As(err, &bad) {
			at, _ := bad.Damage()
			if _, err := s.Damaged(at); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			result = "batch taken out"
			seen++
			continue
		}
		if errors.Is(err, ErrSuspect) {
			return reopened(t, s, dir, where)
		}
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if b == nil {
			break
		}
		if !reflect.DeepEqual(batches[b.Seq], b) {
			t.Fatalf("%s: wrong records were given out:\n%s", where, cmp.Diff(batches[b.Seq], b, unkept))
		}
		seen++
		seq = b.Seq + 1
	}
	for d, err := range s.AllLetters(event.LetterFilter{}) {
		if err != nil {
			result = "dead letter damaged"
		} else if d.Record.Raw[0] != '{' || d.Reason != "refused" {
			t.Errorf("%s: wrong dead letter %+v", where, d)
		}
	}
	if want := len(batches) - firstPending + 1; seen > want {
		// The newest meta page is lost: bbolt goes on from the transaction before, in which all belongs together too.
		result = "one transaction back"
	} else if seen < want {
		t.Errorf("%s: %d of %d batches", where, seen, want)
	}
	if err := s.Check(); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	mustAppend(t, s, page(keyA, rec("after", noon, 1)))
	return result
}

// reopened opens a suspect store again: it has to be set aside, or to be sound.
func reopened(t *testing.T, s *Store, dir, where string) string {
	s.Close()
	again, opened, err := Open(dir, fastOptions())
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer again.Close()
	if opened.SetAside == "" {
		t.Errorf("%s: the suspect file was not set aside", where)
	}
	return "set aside at the next open"
}
