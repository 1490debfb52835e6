package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"

	"github.com/logferry/logferry/pkg/event"
)

// A letter is stored as: u32 length of the head, head, checksum of both, record compressed with s2. The checksum of the
// record is in the head, so that opening the file reads heads only.
type deadHead struct {
	letter event.DeadLetter // without Record.Raw
	crc    uint32           // of the compressed record
}

const (
	replyMost = 1 << 10
	headRoom  = 320 // bytes that a head without reason and reply hardly ever exceeds
)

// stateBytes are the states as the file has them: the first files knew dead letters and returning ones only.
var stateBytes = [...]byte{event.Dead: 0, event.Returning: 1, event.Parked: 2}

func (h *deadHead) append(b []byte) []byte {
	l := &h.letter
	b = slices.Grow(b, headRoom+len(l.Reason)+len(l.Reply))
	b = append(b, 0, 0, 0, 0, stateBytes[l.State])
	b = binary.LittleEndian.AppendUint64(b, uint64(h.crc)<<32|uint64(l.Record.Flags))
	b = binary.LittleEndian.AppendUint64(b, uint64(l.Record.Digest))
	for _, s := range []string{l.Sink, l.Record.Key.String(), l.Reason, l.Reply, l.Record.ID} {
		b = appendString(b, s)
	}
	b = appendTime(appendTime(appendTime(b, l.At), l.Record.Time), l.Record.Read)
	b = binary.AppendUvarint(b, uint64(max(0, l.Attempts)))
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// decodeDead reads the head; the second result is the compressed record, not yet checked.
func decodeDead(key, v []byte) (deadHead, []byte, error) {
	if len(key) != 8 || len(v) < 8 {
		return deadHead{}, nil, damaged("dead letter %x is cut short", key)
	}
	n := uint64(binary.LittleEndian.Uint32(v))
	if n < 4 || n+4 > uint64(len(v)) {
		return deadHead{}, nil, damaged("dead letter %x has a head of %d bytes", key, n)
	}
	head, err := unseal(key, v[:n+4])
	if err != nil {
		return deadHead{}, nil, err
	}
	r := reader{b: head[4:]}
	state := bytes.IndexByte(stateBytes[:], r.byte())
	if state < 0 {
		return deadHead{}, nil, damaged("dead letter %x is in a state that there is not", key)
	}
	var h deadHead
	mixed := r.uint64()
	h.crc = uint32(mixed >> 32)
	l := &h.letter
	l.State = event.LetterState(state)
	l.ID = binary.BigEndian.Uint64(key)
	l.Record.Flags, l.Record.Digest = event.Flags(mixed), event.Digest(r.uint64())
	l.Sink = r.string()
	name := r.string()
	l.Reason, l.Reply, l.Record.ID = r.string(), r.string(), r.string()
	l.At, l.Record.Time, l.Record.Read = r.time(), r.time(), r.time()
	l.Attempts = int(r.uvarint())
	if l.Record.Key, err = event.ParseStreamKey(name); err != nil || r.err != nil {
		return deadHead{}, nil, damaged("decode dead letter %d: %w", l.ID, errors.Join(err, r.err))
	}
	return h, v[n+4:], nil
}

// letter is one on its way into the file.
type letter struct {
	deadHead
	raw []byte // compressed
}

// letter makes a letter of a sink; nothing is changed yet.
func (t *txn) letter(d event.DeadLetter, sink string, state event.LetterState) letter {
	d.Sink, d.State, d.Reply = sink, state, cutReply(d.Reply)
	raw := s2.Encode(t.s.w.arena.take(s2.MaxEncodedLen(len(d.Record.Raw))), d.Record.Raw)
	return letter{deadHead{letter: d, crc: crcOf(raw)}, raw}
}

func cutReply(s string) string {
	if len(s) > replyMost {
		return strings.ToValidUTF8(s[:replyMost], "")
	}
	return s
}

// stored is how many bytes the letter takes in the file.
func (l *letter) stored() int64 { return int64(len(l.append(nil)) + 4 + len(l.raw)) }

// putLetter stores a letter; one without an ID gets one. It gives the stored bytes.
func (t *txn) putLetter(h *deadHead, raw []byte) (int64, error) {
	b := t.tx.Bucket(bucketDead)
	if h.letter.ID == 0 {
		id, err := b.NextSequence()
		if err != nil {
			return 0, fmt.Errorf("number dead letter: %w", err)
		}
		h.letter.ID = id
	}
	key := seqKey(h.letter.ID)
	value := append(seal(key, h.append(nil)), raw...)
	return int64(len(value)), b.Put(key, value)
}

// renameDead gives the letters of a sink to another one, or deletes them if to is empty.
func (t *txn) renameDead(sink, to string) error {
	b := t.tx.Bucket(bucketDead)
	var keys [][]byte
	err := b.ForEach(func(k, v []byte) error {
		h, _, err := decodeDead(k, v)
		if err == nil && h.letter.Sink == sink {
			keys = append(keys, k)
		}
		return err
	})
	if err != nil {
		return err
	}
	if to == "" {
		return deleteAll(b, keys)
	}
	for _, k := range keys {
		v := b.Get(k)
		h, raw, err := decodeDead(k, v)
		if err != nil {
			return err
		}
		h.letter.Sink = to
		size, err := t.putLetter(&h, raw)
		if err != nil {
			return err
		}
		t.lane(to).letters += size - int64(len(v))
	}
	return nil
}

func rawOf(h *deadHead, data []byte) ([]byte, error) {
	if crcOf(data) != h.crc {
		return nil, damaged("checksum of dead letter %d does not match", h.letter.ID)
	}
	raw, err := s2.Decode(nil, data)
	if err != nil {
		return nil, damaged("decompress dead letter %d: %w", h.letter.ID, err)
	}
	return raw, nil
}
