package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/event"
)

// encoder makes record batches of version 2 (https://kafka.apache.org/documentation/#recordbatch). kafka-go's own encoder
// would read the events' bodies on a goroutine that may outlive a cancelled request; the bodies belong to the caller again by
// then. It would also cross the compressor some 25 times per record instead of once per batch. Not for concurrent use.
type encoder struct {
	compression kafka.Compression
	fixed       []byte // headers that are the same for all records
	fixedCount  int
	records     []byte // of the batch in work, before compression
	headers     []byte // of the record in work
}

// newEncoder: an empty schema leaves its header out.
func newEncoder(compression kafka.Compression, schema string) *encoder {
	e := &encoder{compression: compression}
	contentType := "application/json"
	if schema == "cef" || schema == "leef" {
		contentType = "text/plain; charset=utf-8"
	}
	e.fixed = appendHeader(e.fixed, "content-type", contentType)
	e.fixedCount = 1
	if schema != "" {
		e.fixed = appendHeader(e.fixed, "schema", schema)
		e.fixedCount++
	}
	return e
}

const batchHeader = 61

// encode appends to dst a record set as Produce carries it: its length (4 bytes), then one batch of those events, in that
// order. keys are by event.
func (e *encoder) encode(dst []byte, events []event.Event, index []int, keys [][]byte) ([]byte, error) {
	first := millis(&events[index[0]].Record)
	last := first
	e.records = e.records[:0]
	for i, at := range index {
		ms := millis(&events[at].Record)
		last = max(last, ms)
		e.append(int64(i), ms-first, keys[at], &events[at])
	}
	start := len(dst)
	dst = append(dst, make([]byte, 4+batchHeader)...)
	if codec := e.compression.Codec(); codec != nil {
		out := bytes.NewBuffer(dst)
		w := codec.NewWriter(out)
		if _, err := w.Write(e.records); err != nil {
			return nil, fmt.Errorf("compress records with %s: %w", e.compression, err)
		}
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("compress records with %s: %w", e.compression, err)
		}
		dst = out.Bytes()
	} else {
		dst = append(dst, e.records...)
	}
	set := dst[start:]
	b := set[4:]
	binary.BigEndian.PutUint32(set, uint32(len(b)))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))      // length of what follows it
	binary.BigEndian.PutUint32(b[12:], 1<<32-1)               // partition leader epoch: none
	b[16] = 2                                                 // magic
	binary.BigEndian.PutUint16(b[21:], uint16(e.compression)) // attributes: create time, no transaction
	binary.BigEndian.PutUint32(b[23:], uint32(len(index)-1))  // last offset delta
	binary.BigEndian.PutUint64(b[27:], uint64(first))         // base timestamp
	binary.BigEndian.PutUint64(b[35:], uint64(last))          // greatest timestamp
	copy(b[43:57], bytes.Repeat([]byte{0xff}, 14))            // producer id, epoch, base sequence: none
	binary.BigEndian.PutUint32(b[57:], uint32(len(index)))    // records
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return dst, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// millis is the record's time; a negative one, which no broker takes, becomes 1970.
func millis(r *event.Record) int64 { return max(r.Time.UnixMilli(), 0) }

// append adds one record to e.records.
func (e *encoder) append(offset, delta int64, key []byte, ev *event.Event) {
	count := e.fixedCount + 3
	h := append(e.headers[:0], e.fixed...)
	h = appendHeader(h, "event_id", ev.EventID[:])
	h = appendHeader(h, "stream", ev.Key.Stream)
	h = appendHeader(h, "tenant", ev.Key.Tenant)
	e.headers = h

	keyLen := int64(len(key))
	if key == nil {
		keyLen = -1
	}
	size := 1 + varintLen(delta) + varintLen(offset) + varintLen(keyLen) + len(key) +
		varintLen(int64(len(ev.Body))) + len(ev.Body) + varintLen(int64(count)) + len(h)
	b := binary.AppendVarint(e.records, int64(size))
	b = append(b, 0) // attributes
	b = binary.AppendVarint(b, delta)
	b = binary.AppendVarint(b, offset)
	b = binary.AppendVarint(b, keyLen)
	b = append(b, key...)
	b = binary.AppendVarint(b, int64(len(ev.Body)))
	b = append(b, ev.Body...)
	b = binary.AppendVarint(b, int64(count))
	e.records = append(b, h...)
}

func appendHeader[T string | []byte](dst []byte, key string, value T) []byte {
	dst = binary.AppendVarint(dst, int64(len(key)))
	dst = append(dst, key...)
	dst = binary.AppendVarint(dst, int64(len(value)))
	return append(dst, value...)
}

// varintLen is the length of binary.AppendVarint's output.
func varintLen(v int64) int {
	return (bits.Len64(uint64(v<<1)^uint64(v>>63)|1) + 6) / 7
}

// compressionOf gives the codec of a name that Validate has passed.
func compressionOf(name string) kafka.Compression {
	var c kafka.Compression
	if err := c.UnmarshalText([]byte(name)); err != nil {
		return kafka.Lz4
	}
	return c
}
