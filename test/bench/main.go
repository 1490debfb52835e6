// Command bench tells what delivery costs: events per CPU second of each sink, and beside them of what one would use or write
// instead. The receivers are in a process of their own, so that the CPU time that counts is the sender's alone. No TLS.
//
//	go run . [-events 50000] [-rounds 3]
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

var (
	count  = flag.Int("events", 50000, "events of about 3.5 KB for each sender and round")
	rounds = flag.Int("rounds", 3, "the median of so many is shown")
	only   = flag.String("only", "", "senders whose names hold this text")
	serve  = flag.Bool("serve", false, "be the receivers, until standard input ends")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := bench
	if *serve {
		run = receive
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// cost is what sending all events once has taken.
type cost struct {
	cpu    time.Duration
	allocs uint64
	sent   int // bytes that have arrived; 0 for files
}

func bench(ctx context.Context) error {
	to, stop, err := startReceivers(ctx)
	if err != nil {
		return err
	}
	defer stop()
	dir, err := os.MkdirTemp("", "logferry-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	events := makeEvents(*count)
	all := slices.DeleteFunc(senders(to, dir), func(s sender) bool { return !strings.Contains(s.name, *only) })
	costs := map[string][]cost{}
	for range *rounds {
		for _, s := range all {
			c, err := s.measure(ctx, to, events)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			costs[s.name] = append(costs[s.name], c)
		}
	}
	size := 0
	for i := range events {
		size += len(events[i].Body)
	}
	fmt.Printf("%d events of %d bytes, %d rounds, %s, %d CPUs\n\n", len(events), size/len(events), *rounds, runtime.Version(), runtime.NumCPU())
	return show(all, costs)
}

// show prints the medians. Others are put beside the sink of ours that does the same.
func show(all []sender, costs map[string][]cost) error {
	rate := map[string]float64{}
	t := tabwriter.NewWriter(os.Stdout, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sender\tevents/CPU-s\tof ours\tallocs/event\tbytes/event\t")
	for _, s := range all {
		slices.SortFunc(costs[s.name], func(a, b cost) int { return int(a.cpu - b.cpu) })
		c := costs[s.name][len(costs[s.name])/2]
		rate[s.name] = float64(*count) / c.cpu.Seconds()
		ratio := ""
		if rate[s.beside] > 0 {
			ratio = fmt.Sprintf("%.2f", rate[s.name]/rate[s.beside])
		}
		fmt.Fprintf(t, "%s\t%.0f\t%s\t%.1f\t%d\t\n", s.name, rate[s.name], ratio, float64(c.allocs)/float64(*count), c.sent / *count)
	}
	return t.Flush()
}

// sender is one way to deliver events.
type sender struct {
	name   string
	beside string // the sink of ours that it is compared with
	open   func() (deliver func(context.Context, []event.Event) error, end func() error, err error)
}

// measure sends the events once. Opening is not counted, but for what comes with the first connection.
func (s sender) measure(ctx context.Context, to addresses, events []event.Event) (cost, error) {
	deliver, end, err := s.open()
	if err != nil {
		return cost{}, err
	}
	received, err := to.received()
	if err != nil {
		return cost{}, errors.Join(err, end())
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := processor()
	err = errors.Join(deliver(ctx, events), end())
	c := cost{cpu: processor() - began}
	runtime.ReadMemStats(&after)
	c.allocs = after.Mallocs - before.Mallocs
	if err == nil {
		c.sent, err = to.received()
		c.sent -= received
	}
	return c, err
}

// processor is the CPU time that this process has used. Unlike elapsed time it hardly depends on who else is busy.
func processor() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for a wrong pointer only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startReceivers starts this program again as the receivers.
func startReceivers(ctx context.Context) (addresses, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return addresses{}, nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return addresses{}, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return addresses{}, nil, err
	}
	if err := cmd.Start(); err != nil {
		return addresses{}, nil, fmt.Errorf("start receivers: %w", err)
	}
	stop := sync.OnceFunc(func() {
		in.Close()
		cmd.Wait()
	})
	var to addresses
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &to)
	}
	if err != nil {
		stop()
		return to, nil, fmt.Errorf("wait for receivers: %w", err)
	}
	return to, stop, nil
}

// received asks the receivers how many bytes have reached them so far.
func (a addresses) received() (n int, err error) {
	resp, err := http.Get(a.HTTP + "/received")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = fmt.Fscan(resp.Body, &n)
	return n, err
}

// makeEvents gives bodies of about 3.5 KB: a sign-in with the record kept inside. Ids, names, addresses and times differ.
func makeEvents(n int) []event.Event {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	events := make([]event.Event, n)
	for i := range events {
		h := uint64(i+1) * 0x9e3779b97f4a7c15
		id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(h), uint16(h>>32), h>>48&0xfff, h>>52&0xfff, h*31>>16)
		var raw strings.Builder
		fmt.Fprintf(&raw, `{"id":"%s","userId":"%s","userPrincipalName":"user%d@contoso.com",`, id, id, i%997)
		for k := range 28 {
			fmt.Fprintf(&raw, `"conditionalAccessProperty%02d":{"id":"%08x-%04x","displayName":"Policy number %d","result":"notApplied"},`, k, uint32(h>>(k%32)), uint16(h), k)
		}
		fmt.Fprintf(&raw, `"correlationId":"%s","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64)"}`, id)
		e := &events[i]
		e.Record = event.Record{
			Key: event.StreamKey{Cloud: "global", Tenant: "11111111-2222-3333-4444-555555555555", Stream: "signins.interactive"},
			ID:  id, Time: at.Add(time.Duration(i) * time.Millisecond), Read: at.Add(time.Hour), Digest: event.Digest(h), Raw: []byte(raw.String()),
		}
		e.EventID = e.Record.EventID()
		e.Body = fmt.Appendf(nil, `{"@timestamp":"%s","event":{"id":"%s","kind":"event","outcome":"success"},"user":{"id":"%s","name":"user%d@contoso.com"},"source":{"ip":"192.0.2.%d"},"entra":%s}`,
			e.Time.Format(time.RFC3339Nano), id, id, i%997, h%256, e.Raw)
	}
	return events
}
