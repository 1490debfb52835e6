package store

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

var stateKills = flag.Int("state-kills", 8, "how often a migration and a compaction are each killed at a random moment")

// What a child process of the kill tests is to do: "compact" or "climb", and where it is to die: "point=n", if it is the n-th.
const (
	childVariable = "LOGFERRY_STATE_CHILD"
	crashVariable = "LOGFERRY_STATE_CRASH"
)

func TestMain(m *testing.M) {
	if work := os.Getenv(childVariable); work != "" {
		if err := childWork(work, os.Getenv("LOGFERRY_STATE_DIR")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func childWork(work, dir string) error {
	at, n, _ := strings.Cut(os.Getenv(crashVariable), "=")
	times, _ := strconv.Atoi(n)
	crash := func(point string) {
		if times--; point == at && times == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	fmt.Println("begins")
	if work == "climb" {
		_, err := climbTo3(dir, crash)
		return err
	}
	_, err := Compact(bg, dir, Options{Crash: crash})
	return err
}

// run has a child work on a folder, kills it a while after its beginning unless that is 0, and tells whether it came to its end, and
// how long that took.
func run(t *testing.T, work, dir, crash string, after time.Duration) (done bool, took time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+work, "LOGFERRY_STATE_DIR="+dir, crashVariable+"="+crash,
		"GORACE=atexit_sleep_ms=0") // what the race detector waits for at the end is a second
	said := &strings.Builder{}
	cmd.Stderr = said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatalf("%s: %v: %s", work, err, said)
	}
	start := time.Now()
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	err = cmd.Wait()
	took = time.Since(start)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() >= 0) {
		t.Fatalf("%s: %v: %s", work, err, said)
	}
	return err == nil, took
}

// took is how long a child needs when nobody disturbs it.
func took(t *testing.T, work, dir string) time.Duration {
	t.Helper()
	done, took := run(t, work, dir, "", 0)
	if !done {
		t.Fatal("it did not come to its end")
	}
	return took
}

// TestKillCompact kills compactions with SIGKILL, at each point and at random moments. After each the file is whole, and says what it
// said; what is left beside it disturbs nobody.
func TestKillCompact(t *testing.T) {
	from := airy(t)
	want, fat := content(t, from), sizeOf(t, filepath.Join(from, fileName))
	dir := t.TempDir()
	fresh := func() { copyFile(t, filepath.Join(from, fileName), filepath.Join(dir, fileName)) }
	fresh()
	most := took(t, "compact", dir)
	slim := sizeOf(t, filepath.Join(dir, fileName))
	outcomes := map[string]int{}
	check := func(what string) {
		t.Helper()
		if content(t, dir) != want {
			t.Errorf("%s: the content is another one", what)
		}
		for _, name := range filesOf(t, dir) {
			if !slices.Contains([]string{fileName, fileName + compactSuffix, lockName}, name) {
				t.Errorf("%s: there is a file %s", what, name)
			}
		}
		switch size := sizeOf(t, filepath.Join(dir, fileName)); size {
		case slim:
			outcomes["new"]++
			fresh() // and whatever is left stays there
		case fat:
			outcomes["old"]++
		default:
			t.Errorf("%s: the file has %d bytes", what, size)
		}
	}
	fresh()
	for _, point := range []string{"compact:copied=1", "compact:checked=2", "compact:swapped=3"} {
		if done, _ := run(t, "compact", dir, point, 0); done {
			t.Errorf("%s: it was not killed", point)
		}
		check(point)
	}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range *stateKills {
		after := 1 + time.Duration(r.Int64N(int64(most)))
		run(t, "compact", dir, "", after)
		check(after.String())
	}
	t.Logf("%v of %d kills within %s", outcomes, *stateKills+3, most)
	if done, _ := run(t, "compact", dir, "", 0); !done || sizeOf(t, filepath.Join(dir, fileName)) != slim {
		t.Error("the last one did not come to its end")
	}
	s := open(t, dir, fastOptions())
	mustCheck(t, s)
	s.Close()
	if names := filesOf(t, dir); !slices.Equal(names, []string{recoveryName, fileName}) {
		t.Errorf("the folder has %v", names)
	}
}

// TestKillMigration kills migrations of many parts with SIGKILL, each going on where the one before was killed, until one comes to
// its end: the content is the one that an undisturbed migration makes.
func TestKillMigration(t *testing.T) {
	from := lettered(t)
	calm := snapshot(t, from)
	most := took(t, "climb", calm)
	want, kept := content(t, calm), content(t, from)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	kills, midway := 0, 0
	for kills < *stateKills {
		dir := snapshot(t, from)
		for _, point := range []string{"migrate:before-commit=1", "migrate:after-commit=2", "migrate:before-commit=5"} {
			if kills > 0 {
				break
			}
			if done, _ := run(t, "climb", dir, point, 0); done {
				t.Errorf("%s: it was not killed", point)
			}
		}
		if _, _, place := metaOf(t, dir); kills == 0 && place == nil {
			t.Error("the kill at a point did not come midway")
		}
		for done := false; !done; kills++ {
			done, _ = run(t, "climb", dir, "", 1+time.Duration(r.Int64N(int64(most))))
			format, _, place := metaOf(t, dir)
			if place != nil {
				midway++
			}
			if done && (format != 3 || place != nil) {
				t.Errorf("done, and the format is %d with the place %x", format, place)
			}
		}
		if content(t, dir) != want {
			t.Error("the content is another one than without kills")
		}
	}
	t.Logf("%d kills within %s, %d of them midway", kills, most, midway)
	// And the real one: to today's format, by whoever opens the file.
	s := open(t, from, fastOptions())
	mustCheck(t, s)
	s.Close()
	if content(t, from) != kept {
		t.Error("the migration has changed what it carries")
	}
}

// lettered is a file of format 1 with so many letters that climbTo3 takes some hundred parts.
func lettered(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s := openWith(t, dir, fastOptions())
	const records = 400
	c := page(keyA)
	for i := range records {
		c.Records = append(c.Records, rec(fmt.Sprint(i), noon, 1))
	}
	res := mustAppend(t, s, c)
	step := event.LaneStep{Sink: "one", To: event.Position{Seq: 2}, Counts: map[event.StreamKey]event.SinkCounts{keyA: {Dead: records}}}
	for _, r := range res.Batch.Records {
		step.Dead = append(step.Dead, event.DeadLetter{At: noon, Reason: "refused", Record: r})
	}
	mustStep(t, s, step)
	s.Close()
	setMeta(t, dir, func(meta *bbolt.Bucket) error { return meta.Put(keyFormat, sealFormat(1)) })
	return dir
}
