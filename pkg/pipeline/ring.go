package pipeline

import (
	"fmt"
	"sync"

	"github.com/logferry/logferry/pkg/event"
)

// ring keeps the batches that were journalled last, so that lanes which keep up need not read them from disk, and their
// renderings, so that lanes of equal schema do not map a record twice.
type ring struct {
	mu      sync.Mutex
	entries map[uint64]*entry
	order   []uint64 // as added, which may differ from seq by a little
	bytes   int
	most    int
	shared  map[event.Schema]bool
	added   *signal
}

type entry struct {
	batch      *event.Batch
	mu         sync.Mutex
	renderings map[event.Schema]*rendering
}

// rendering is a batch in one schema.
type rendering struct {
	once   sync.Once
	bodies [][]byte
	errs   []error // nil, or one per record
}

func newRing(most int) *ring {
	return &ring{entries: map[uint64]*entry{}, most: most, added: newSignal()}
}

// share says which schemas more than one lane wants.
func (r *ring) share(schemas map[event.Schema]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared = schemas
}

func (r *ring) shares(schema event.Schema) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shared[schema]
}

// add takes a batch that has just been committed and wakes the lanes.
func (r *ring) add(b *event.Batch) {
	r.mu.Lock()
	r.entries[b.Seq] = &entry{batch: b}
	r.order = append(r.order, b.Seq)
	r.bytes += b.Bytes
	for r.bytes > r.most && len(r.order) > 0 {
		oldest := r.order[0]
		r.order = r.order[1:]
		r.bytes -= r.entries[oldest].batch.Bytes
		delete(r.entries, oldest)
	}
	r.mu.Unlock()
	r.added.Broadcast()
}

// get gives exactly the batch seq, or nil. A lane that gets nil asks the journal, which alone knows the order.
func (r *ring) get(seq uint64) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries[seq]
}

// rendered gives the entry's records in schema, made once for all lanes.
func (e *entry) rendered(n Normalizer, schema event.Schema) *rendering {
	e.mu.Lock()
	if e.renderings == nil {
		e.renderings = map[event.Schema]*rendering{}
	}
	r := e.renderings[schema]
	if r == nil {
		r = &rendering{}
		e.renderings[schema] = r
	}
	e.mu.Unlock()
	r.once.Do(func() { r.make(n, e.batch, schema) })
	return r
}

func (r *rendering) make(n Normalizer, b *event.Batch, schema event.Schema) {
	buf := make([]byte, 0, b.Bytes+b.Bytes/2)
	ends := make([]int, len(b.Records))
	for i := range b.Records {
		out, err := normalize(n, buf, b.Records[i], schema)
		if err != nil {
			if r.errs == nil {
				r.errs = make([]error, len(b.Records))
			}
			r.errs[i] = err
		} else {
			buf = out
		}
		ends[i] = len(buf)
	}
	r.bodies = make([][]byte, len(ends))
	start := 0
	for i, end := range ends {
		r.bodies[i] = buf[start:end:end]
		start = end
	}
}

// normalize turns a panic over one record into an error: the record becomes a dead letter, where it would otherwise stop the
// process again at each start.
func normalize(n Normalizer, dst []byte, rec event.Record, schema event.Schema) (out []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = dst, fmt.Errorf("the normalizer panicked: %v", v)
		}
	}()
	return n.Normalize(dst, rec, schema)
}
