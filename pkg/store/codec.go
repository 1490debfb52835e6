package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/logferry/logferry/pkg/event"
)

// A batch is stored as a header and its records, compressed with s2. Both have a CRC-32C of their own, so that the index can
// be built from the headers alone. Little endian:
//
//	0   u8   version, 1
//	1   u8   0
//	2   u16  length of the header
//	4   u32  CRC-32C of the header, with zeros here
//	8   u32  CRC-32C of the compressed records
//	12  u32  length of the compressed records
//	16  u32  length of the records
//	20  u32  number of records
//	24  u32  length of the table, the first part of the records
//	28  u32  length of the ids, the second part; the third are the records as sent, one after the other
//	32  u64  seq
//	40       varints: read time, first and last record time, slice from, to and top; strings: stream key, slice's stream and reader
//
// The table has for each record: seconds since the one before, nanoseconds, digest (8 bytes), flags (1 byte), length of id and raw.
const (
	headerVersion = 1
	headerFixed   = 40
	headerMost    = 4 << 10
)

type header struct {
	seq         uint64
	key         event.StreamKey
	slice       event.Slice
	read        time.Time
	first, last time.Time
	records     int
	tableLen    int
	idsLen      int
	size        int // of the records, not compressed
	stored      int // of the records, compressed
	crc         uint32
}

func (h *header) append(b []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, headerFixed)...)
	for _, t := range []time.Time{h.read, h.first, h.last, h.slice.From, h.slice.To} {
		b = appendTime(b, t)
	}
	b = binary.AppendVarint(b, int64(h.slice.Top))
	b = appendString(b, h.key.String())
	b = appendString(b, h.slice.Stream)
	b = appendString(b, h.slice.Reader)
	f, le := b[start:], binary.LittleEndian
	f[0] = headerVersion
	le.PutUint16(f[2:], uint16(len(f)))
	le.PutUint32(f[8:], h.crc)
	le.PutUint32(f[12:], uint32(h.stored))
	le.PutUint32(f[16:], uint32(h.size))
	le.PutUint32(f[20:], uint32(h.records))
	le.PutUint32(f[24:], uint32(h.tableLen))
	le.PutUint32(f[28:], uint32(h.idsLen))
	le.PutUint64(f[32:], h.seq)
	le.PutUint32(f[4:], crc32.Checksum(f, castagnoli))
	return b
}

// decodeHeader reads the header of a stored batch; the second result are its compressed records, not yet checked.
func decodeHeader(v []byte) (header, []byte, error) {
	if len(v) < headerFixed {
		return header{}, nil, errShort
	}
	le := binary.LittleEndian
	n := int(le.Uint16(v[2:]))
	if v[0] != headerVersion || n < headerFixed || n > headerMost || n > len(v) {
		return header{}, nil, fmt.Errorf("header of version %d and %d bytes in a value of %d", v[0], n, len(v))
	}
	crc := crc32.Update(crc32.Checksum(v[:4], castagnoli), castagnoli, []byte{0, 0, 0, 0})
	if crc32.Update(crc, castagnoli, v[8:n]) != le.Uint32(v[4:]) {
		return header{}, nil, errors.New("checksum of the header does not match")
	}
	h := header{
		crc: le.Uint32(v[8:]), stored: int(le.Uint32(v[12:])), size: int(le.Uint32(v[16:])), records: int(le.Uint32(v[20:])),
		tableLen: int(le.Uint32(v[24:])), idsLen: int(le.Uint32(v[28:])), seq: le.Uint64(v[32:]),
	}
	r := reader{b: v[headerFixed:n]}
	h.read, h.first, h.last, h.slice.From, h.slice.To = r.time(), r.time(), r.time(), r.time(), r.time()
	h.slice.Top = int(r.varint())
	name := r.string()
	h.slice.Stream, h.slice.Reader = r.string(), r.string()
	if r.err != nil {
		return header{}, nil, fmt.Errorf("decode header: %w", r.err)
	}
	var err error
	if h.key, err = event.ParseStreamKey(name); err != nil {
		return header{}, nil, err
	}
	if h.stored != len(v)-n || h.records == 0 || h.tableLen+h.idsLen > h.size || h.records > h.tableLen {
		return header{}, nil, errors.New("header contradicts itself")
	}
	return h, v[n:], nil
}

// pack builds the records of a batch in one buffer of their own and makes b's records alias it. b.Records are in their final
// order; their Raw and ID may alias a page.
func pack(h *header, b *event.Batch, table []byte) (buf, scratch []byte) {
	idsLen, rawLen := 0, 0
	table = table[:0]
	var last int64
	for i := range b.Records {
		r := &b.Records[i]
		sec := r.Time.Unix()
		table = binary.AppendVarint(table, sec-last)
		table = binary.AppendUvarint(table, uint64(r.Time.Nanosecond()))
		table = binary.LittleEndian.AppendUint64(table, uint64(r.Digest))
		table = append(table, byte(r.Flags))
		table = binary.AppendUvarint(table, uint64(len(r.ID)))
		table = binary.AppendUvarint(table, uint64(len(r.Raw)))
		last = sec
		idsLen += len(r.ID)
		rawLen += len(r.Raw)
	}
	buf = make([]byte, 0, len(table)+idsLen+rawLen)
	buf = append(buf, table...)
	for i := range b.Records {
		buf = append(buf, b.Records[i].ID...)
	}
	ids := string(buf[len(table):])
	for i := range b.Records {
		r := &b.Records[i]
		r.ID, ids = ids[:len(r.ID)], ids[len(r.ID):]
		start := len(buf)
		buf = append(buf, r.Raw...)
		r.Raw = buf[start:len(buf):len(buf)]
	}
	b.Bytes = rawLen
	h.records, h.tableLen, h.idsLen, h.size = len(b.Records), len(table), idsLen, len(buf)
	h.first, h.last = b.Records[0].Time, b.Records[len(b.Records)-1].Time
	return buf, table
}

// unpack checks and decodes the compressed records of a batch. Nothing of the result aliases data.
func unpack(h header, data []byte) (*event.Batch, error) {
	if crc32.Checksum(data, castagnoli) != h.crc {
		return nil, errors.New("checksum of the records does not match")
	}
	if n, err := s2.DecodedLen(data); err != nil || n != h.size {
		return nil, errors.New("length of the records does not match the header")
	}
	buf, err := s2.Decode(make([]byte, h.size), data)
	if err != nil {
		return nil, fmt.Errorf("decompress records: %w", err)
	}
	b := &event.Batch{Seq: h.seq, Key: h.key, Slice: h.slice, Records: make([]event.Record, h.records)}
	table := reader{b: buf[:h.tableLen]}
	ids := string(buf[h.tableLen : h.tableLen+h.idsLen])
	raws := reader{b: buf[h.tableLen+h.idsLen:]}
	var sec int64
	for i := range b.Records {
		r := &b.Records[i]
		sec += table.varint()
		nsec := table.uvarint()
		r.Time = time.Unix(sec, int64(nsec)).UTC()
		r.Digest, r.Flags = event.Digest(table.uint64()), event.Flags(table.byte())
		idLen, rawLen := table.uvarint(), table.uvarint()
		if table.err != nil || nsec >= 1e9 || idLen > uint64(len(ids)) {
			return nil, fmt.Errorf("decode record %d: table does not fit", i)
		}
		r.ID, ids = ids[:idLen], ids[idLen:]
		r.Raw = raws.bytes(rawLen)
		if raws.err != nil {
			return nil, fmt.Errorf("decode record %d: %w", i, raws.err)
		}
		r.Raw = r.Raw[:len(r.Raw):len(r.Raw)]
		r.Key, r.Read = h.key, h.read
		b.Bytes += len(r.Raw)
	}
	return b, nil
}
