package chaos

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/timeline"
)

const (
	tenant = "11111111-2222-3333-4444-555555555555"
	// mark is in the records that no receiver which looks at them will ever take.
	mark      = "REFUSE-ME"
	markEvery = 6000
	page      = 1000
)

var streams = []string{"signins.interactive", "signins.noninteractive", "audits"}

// world is all the records there are: record i belongs to stream i%3, and follows the one before in its stream after step.
type world struct {
	n     int
	since time.Time
	step  time.Duration
	ids   map[event.ID]int
}

const spread = 5 * time.Hour

func newWorld(n int) *world {
	n -= n % len(streams)
	w := &world{n: n, since: time.Now().Add(-6 * time.Hour).Truncate(time.Second), step: spread / time.Duration(n/len(streams)), ids: make(map[event.ID]int, n)}
	for i := range n {
		r := w.record(i, nil)
		w.ids[r.EventID()] = i
	}
	return w
}

func marked(i int) bool { return i%markEvery == 77 }

func (w *world) marked() (n int) {
	for i := range w.n {
		if marked(i) {
			n++
		}
	}
	return n
}

// record gives record i with its text appended to buf.
func (w *world) record(i int, buf []byte) event.Record {
	at := w.since.Add(time.Duration(i/len(streams)) * w.step).UTC()
	r := event.Record{
		Key: event.StreamKey{Cloud: "global", Tenant: tenant, Stream: streams[i%len(streams)]}, ID: "r" + strconv.Itoa(i), Time: at, Read: at,
		Digest: event.Digest(uint64(i+1) * 0x9e3779b97f4a7c15),
	}
	if buf == nil {
		return r
	}
	word := "plain"
	if marked(i) {
		word = mark
	}
	when, start := at.Format(time.RFC3339Nano), len(buf)
	if r.Key.Stream == "audits" {
		buf = fmt.Appendf(buf, `{"id":"%s","activityDateTime":"%s","activityDisplayName":"Update user","category":"UserManagement","result":"success","correlationId":"%s",`+
			`"initiatedBy":{"user":{"id":"u%d","userPrincipalName":"admin%d@contoso.com","ipAddress":"192.0.2.%d"}},"targetResources":[{"id":"t%d","type":"User","displayName":"%s"}]}`,
			r.ID, when, word, i%97, i%97, i%250, i, word)
	} else {
		buf = fmt.Appendf(buf, `{"id":"%s","createdDateTime":"%s","userPrincipalName":"user%d@contoso.com","userId":"u%d","appDisplayName":"%s","ipAddress":"192.0.2.%d",`+
			`"clientAppUsed":"Browser","status":{"errorCode":%d,"failureReason":"Other."},"location":{"city":"Graz","countryOrRegion":"AT"},"n":%d}`,
			r.ID, when, i%997, i%997, word, i%250, i%2*50126, i)
	}
	r.Raw = buf[start:len(buf):len(buf)]
	return r
}

// Fetch yields what a slice has, in ascending time and pages of a thousand.
func (w *world) Fetch(ctx context.Context, s event.Slice) iter.Seq2[event.Page, error] {
	return func(yield func(event.Page, error) bool) {
		offset := 0
		for i, name := range streams {
			if name == s.Stream {
				offset = i
			}
		}
		to := s.To
		if to.IsZero() {
			to = time.Now()
		}
		// One more on both sides than there is: the API's bounds are inclusive.
		from := max(0, int(math.Floor(float64(s.From.Sub(w.since))/float64(w.step))))
		end := min(w.n/len(streams), int(math.Floor(float64(to.Sub(w.since))/float64(w.step)))+1)
		var records []event.Record
		buf := make([]byte, 0, 1<<20)
		for {
			records, buf = records[:0], buf[:0]
			for ; from < end && len(records) < page; from++ {
				start := len(buf)
				r := w.record(from*len(streams)+offset, buf)
				buf = buf[:start+len(r.Raw)]
				records = append(records, r)
			}
			last := from >= end
			if !yield(event.Page{Records: records, Date: time.Now(), Bytes: len(buf), Last: last}, ctx.Err()) || last || ctx.Err() != nil {
				return
			}
		}
	}
}

func (w *world) source() pipeline.Source {
	t := timeline.Default()
	t.Start, t.Lookback, t.Reread = timeline.Start{At: w.since.Add(-time.Minute)}, field.Duration(time.Minute), nil
	return pipeline.Source{
		Name: "contoso", Cloud: "global", Tenant: "contoso.com", Fetcher: w, Streams: streams, Time: t, DigestVersion: 1, Parallel: 2,
		Identify: func(context.Context) (string, error) { return tenant, nil }, Now: time.Now,
	}
}

// received is what one receiver has stored.
type received struct {
	world *world
	name  string
	picky bool // it refuses marked events

	counts  []uint8
	stored  int // repeats included
	repeats int
	last    time.Time // of the last event
	faults  []string
}

func newReceived(w *world, name string, picky bool) *received {
	return &received{world: w, name: name, picky: picky, counts: make([]uint8, w.n)}
}

// put stores an event; body holds the record as it was sent.
func (r *received) put(id string, body []byte) {
	var key event.ID
	if copy(key[:], id) != len(key) || len(id) != len(key) {
		r.fault("%q is no event id", id)
		return
	}
	i, known := r.world.ids[key]
	if !known {
		r.fault("event id %s was never sent", id)
		return
	}
	r.last = time.Now()
	if r.stored++; r.stored%64 == 0 && !bytes.Contains(body, r.world.record(i, []byte{}).Raw) {
		r.fault("event %d does not hold its record: %.300s", i, body)
	}
	if r.counts[i] > 0 {
		r.repeats++
	}
	if r.counts[i] < math.MaxUint8 {
		r.counts[i]++
	}
}

// has tells whether an event is stored.
func (r *received) has(id string) bool {
	var key event.ID
	copy(key[:], id)
	i, known := r.world.ids[key]
	return known && r.counts[i] > 0
}

func (r *received) fault(format string, args ...any) {
	if len(r.faults) < 5 {
		r.faults = append(r.faults, fmt.Sprintf(format, args...))
	}
}
