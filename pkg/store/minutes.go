package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"

	"github.com/logferry/logferry/pkg/event"
)

const minuteSize = 16

func encodeMinute(b []byte, count, sum uint64) []byte {
	binary.LittleEndian.PutUint64(b, count)
	binary.LittleEndian.PutUint64(b[8:], sum)
	return b[:minuteSize]
}

func decodeMinute(v []byte) (count, sum uint64) {
	if len(v) != minuteSize {
		return 0, 0
	}
	return binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])
}

// Minutes gives the stream's minutes in [from, to) that have records, ascending. They are kept for Options.Retention.
func (s *Store) Minutes(key event.StreamKey, from, to time.Time) ([]event.Minute, error) {
	var out []event.Minute
	err := s.view(func(tx *bbolt.Tx) error {
		b := sub(tx, bucketMinutes, []byte(key.String()))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		end := minuteOf(to.Add(time.Minute - 1))
		for k, v := c.Seek(binary.BigEndian.AppendUint32(nil, minuteOf(from))); len(k) == 4 && binary.BigEndian.Uint32(k) < end; k, v = c.Next() {
			m := event.Minute{Start: time.Unix(int64(binary.BigEndian.Uint32(k))*60, 0).UTC()}
			m.Count, m.Sum = decodeMinute(v)
			out = append(out, m)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read minutes of %s: %w", key, err)
	}
	return out, nil
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
