package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

// The seen set keeps, per stream and minute of the record's time, the hash of each id and the digest of its content, in chunks:
// a version byte of the digest, then entries sorted by id hash.
// timeless is the minute of records without a time of their own: theirs is the start of the slice that they were found in, which
// is another one for each reader. It lies beyond every floor, so they are never forgotten.
const timeless = math.MaxUint32

const (
	chunkEntries = 2048
	entrySize    = 16 // id hash and digest, little endian
)

type class uint8

const (
	classNew class = iota
	classUpdated
	classSeen
)

// minuteFor gives the minute that a record is kept under.
func minuteFor(r *event.Record) uint32 {
	if r.Flags&event.FlagNoTime != 0 {
		return timeless
	}
	return minuteOf(r.Time)
}

func idHash(id string) uint64 { return xxhash.Sum64String(id) }

// MinuteSum is what one record adds to the sum of its minute (see Minutes).
func MinuteSum(id string, digest event.Digest) uint64 { return mix(idHash(id), digest) }

// mix spreads id hash and digest, so that sums of different sets of records differ.
func mix(hash uint64, digest event.Digest) uint64 {
	x := hash ^ (uint64(digest)*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019)
	x = (x ^ x>>32) * 0xd6e8feb86659fd93
	return x ^ x>>29
}

// chunk is one value of the seen set.
type chunk struct {
	num     uint16
	version uint8
	entries []byte
	changed bool // entries is our own copy
}

func (c *chunk) len() int            { return len(c.entries) / entrySize }
func (c *chunk) hash(i int) uint64   { return binary.LittleEndian.Uint64(c.entries[i*entrySize:]) }
func (c *chunk) digest(i int) uint64 { return binary.LittleEndian.Uint64(c.entries[i*entrySize+8:]) }

func (c *chunk) find(hash uint64) (int, bool) {
	lo, hi := 0, c.len()
	for lo < hi {
		mid := (lo + hi) / 2
		if c.hash(mid) < hash {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < c.len() && c.hash(lo) == hash
}

// own makes entries ours before it is changed: it may alias the file.
func (c *chunk) own(a *arena) {
	if c.changed {
		return
	}
	b := a.take(1 + len(c.entries))[1:]
	copy(b, c.entries)
	c.entries, c.changed = b, true
}

type seenEntry struct {
	hash   uint64
	digest event.Digest
}

// seenMinute is one minute of a stream while a page is told apart.
type seenMinute struct {
	minute uint32
	chunks []chunk
	added  []seenEntry
	blank  bool   // nothing of it was remembered
	count  uint64 // records new in this minute
	sum    uint64 // change of the minute's sum; wraps
}

type rowKey struct {
	minute uint32
	hash   uint64
}

// seenPage tells the rows of one page apart. It is used again for the next page.
type seenPage struct {
	bucket  *bbolt.Bucket // nil: nothing was seen yet
	version uint8
	arena   *arena
	minutes []seenMinute
	places  map[uint32]int // minute -> minutes
	added   map[rowKey]int // -> seenMinute.added
	dirty   bool           // the set has changed
}

func (p *seenPage) reset(b *bbolt.Bucket, version uint8, a *arena) {
	p.bucket, p.version, p.arena, p.dirty = b, version, a, false
	p.minutes = p.minutes[:0]
	if p.places == nil {
		p.places, p.added = map[uint32]int{}, map[rowKey]int{}
	}
	clear(p.places)
	clear(p.added)
}

// minute loads a minute once per page.
func (p *seenPage) minute(minute uint32) *seenMinute {
	if n := len(p.minutes); n > 0 && p.minutes[n-1].minute == minute {
		return &p.minutes[n-1]
	}
	if i, ok := p.places[minute]; ok {
		return &p.minutes[i]
	}
	n := len(p.minutes)
	p.places[minute] = n
	if n < cap(p.minutes) {
		p.minutes = p.minutes[:n+1]
	} else {
		p.minutes = append(p.minutes, seenMinute{})
	}
	m := &p.minutes[n]
	*m = seenMinute{minute: minute, chunks: m.chunks[:0], added: m.added[:0]}
	if p.bucket == nil {
		return m
	}
	var from [4]byte
	binary.BigEndian.PutUint32(from[:], minute)
	c := p.bucket.Cursor()
	for k, v := c.Seek(from[:]); len(k) == 6 && binary.BigEndian.Uint32(k) == minute; k, v = c.Next() {
		if len(v) == 0 {
			continue
		}
		whole := (len(v) - 1) / entrySize * entrySize
		m.chunks = append(m.chunks, chunk{num: binary.BigEndian.Uint16(k[4:]), version: v[0], entries: v[1 : 1+whole]})
	}
	m.blank = len(m.chunks) == 0
	return m
}

// row tells what a row is, and takes it into the set.
func (p *seenPage) row(minute uint32, id string, digest event.Digest) class {
	m, hash := p.minute(minute), idHash(id)
	if len(m.added) > 0 {
		if i, ok := p.added[rowKey{minute, hash}]; ok {
			e := &m.added[i]
			if e.digest == digest {
				return classSeen
			}
			m.sum += mix(hash, digest) - mix(hash, e.digest)
			e.digest, p.dirty = digest, true
			return classUpdated
		}
	}
	for i := range m.chunks {
		c := &m.chunks[i]
		at, ok := c.find(hash)
		if !ok {
			continue
		}
		old := event.Digest(c.digest(at))
		if c.version == p.version && old == digest {
			return classSeen
		}
		p.dirty = true
		m.sum += mix(hash, digest) - mix(hash, old)
		c.own(p.arena)
		if c.version == p.version {
			binary.LittleEndian.PutUint64(c.entries[at*entrySize+8:], uint64(digest))
			return classUpdated
		}
		// Another version of the digest tells nothing about the content: taken over as it is now.
		c.entries = append(c.entries[:at*entrySize], c.entries[(at+1)*entrySize:]...)
		p.add(m, hash, digest)
		return classSeen
	}
	p.dirty = true
	m.count++
	m.sum += mix(hash, digest)
	p.add(m, hash, digest)
	return classNew
}

func (p *seenPage) add(m *seenMinute, hash uint64, digest event.Digest) {
	p.added[rowKey{m.minute, hash}] = len(m.added)
	m.added = append(m.added, seenEntry{hash, digest})
}

// write puts what has changed and gives the number of keys written.
func (p *seenPage) write(b *bbolt.Bucket) (int, error) {
	n := 0
	for i := range p.minutes {
		m := &p.minutes[i]
		m.merge(p.version, p.arena)
		for j := range m.chunks {
			c := &m.chunks[j]
			if !c.changed {
				continue
			}
			n++
			key := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(nil, m.minute), c.num)
			if c.len() == 0 {
				if err := b.Delete(key); err != nil {
					return n, fmt.Errorf("delete seen ids: %w", err)
				}
				continue
			}
			v := p.arena.take(1 + len(c.entries))
			v[0] = c.version
			copy(v[1:], c.entries)
			if err := b.Put(key, v); err != nil {
				return n, fmt.Errorf("put seen ids: %w", err)
			}
		}
	}
	return n, nil
}

// merge puts the added entries into the last chunk as far as they fit, and into new ones.
func (m *seenMinute) merge(version uint8, a *arena) {
	if len(m.added) == 0 {
		return
	}
	slices.SortFunc(m.added, func(x, y seenEntry) int {
		if x.hash < y.hash {
			return -1
		}
		return 1
	})
	rest := m.added
	var next uint16
	if n := len(m.chunks); n > 0 {
		last := &m.chunks[n-1]
		next = last.num + 1
		if room := chunkEntries - last.len(); last.version == version && room > 0 {
			take := min(room, len(rest))
			last.entries, last.changed = mergeEntries(a, last, rest[:take]), true
			rest = rest[take:]
		}
	}
	for ; len(rest) > 0; next++ {
		take := min(chunkEntries, len(rest))
		c := chunk{num: next, version: version, changed: true}
		c.entries = mergeEntries(a, &c, rest[:take])
		m.chunks = append(m.chunks, c)
		rest = rest[take:]
	}
}

func mergeEntries(a *arena, c *chunk, added []seenEntry) []byte {
	out := a.take(len(c.entries) + len(added)*entrySize)[:0]
	at := 0
	for _, e := range added {
		start := at
		for at < c.len() && c.hash(at) < e.hash {
			at++
		}
		out = append(out, c.entries[start*entrySize:at*entrySize]...)
		out = binary.LittleEndian.AppendUint64(out, e.hash)
		out = binary.LittleEndian.AppendUint64(out, uint64(e.digest))
	}
	return append(out, c.entries[at*entrySize:]...)
}
