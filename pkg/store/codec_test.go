package store

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/logferry/logferry/pkg/event"
)

// stored makes the value of a batch as putBatch does.
func stored(records ...event.Record) []byte {
	b := &event.Batch{Records: records}
	h := header{seq: 5, key: keyA, slice: page(keyA).Slice, read: noon}
	buf, _ := pack(&h, b, nil)
	data := s2.Encode(nil, buf)
	h.stored, h.crc = len(data), crcOf(data)
	return append(h.append(nil), data...)
}

func FuzzBatch(f *testing.F) {
	f.Add(stored(rec("a", noon, 1)))
	f.Add(stored(rec("a", noon, 1), rec("b", noon, 2)))
	f.Add([]byte{headerVersion, 0, 40, 0})
	f.Fuzz(func(t *testing.T, v []byte) {
		h, data, err := decodeHeader(v)
		if err != nil {
			return
		}
		if again := h.append(nil); !bytes.Equal(again, v[:len(again)]) && len(again) == len(v)-len(data) {
			t.Errorf("header %+v is encoded as another one", h)
		}
		_, _ = unpack(h, data)
	})
}

// FuzzUnpack gives the decoder content whose checksum is right.
func FuzzUnpack(f *testing.F) {
	_, data, err := decodeHeader(stored(rec("a", noon, 1), rec("b", noon, 2)))
	if err != nil {
		f.Fatal(err)
	}
	raw, err := s2.Decode(nil, data)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, 2, 24, 2)
	f.Fuzz(func(t *testing.T, raw []byte, records, tableLen, idsLen int) {
		if records < 1 || tableLen < records || idsLen < 0 || tableLen > len(raw) || idsLen > len(raw)-tableLen {
			return // decodeHeader refuses it
		}
		data := s2.Encode(nil, raw)
		h := header{key: keyA, records: records, tableLen: tableLen, idsLen: idsLen, size: len(raw), stored: len(data), crc: crcOf(data)}
		b, err := unpack(h, data)
		if err == nil && len(b.Records) != records {
			t.Errorf("%d records of %d", len(b.Records), records)
		}
	})
}

func FuzzValues(f *testing.F) {
	st := &stream{key: keyA, name: []byte(keyA.String())}
	st.move(event.Moves{Cursors: []event.Cursor{{Reader: "live", Pos: noon}}, Floor: noon})
	st.sink("one").joined = 7
	f.Add(st.appendCursors(nil))
	f.Add(st.appendLedger(nil))
	st.move(event.Moves{Marks: []event.Mark{{Kind: event.Gap, From: noon, To: noon.Add(time.Hour), Reason: "older than retention", At: noon}}})
	st.addSkipped([]event.Mark{{Kind: event.Skipped, Reader: "one", From: noon, To: noon.Add(time.Minute)}})
	f.Add(st.appendCursors(nil))
	f.Add((&lane{pos: event.Position{Seq: 1, Index: 2}}).append(nil))
	key := seqKey(1)
	f.Add(seal(key, (&deadHead{letter: event.DeadLetter{Record: event.Record{Key: keyA}}}).append(nil)))
	f.Fuzz(func(t *testing.T, v []byte) {
		var a, b stream
		if a.decodeCursors(v) == nil {
			if err := b.decodeCursors(a.appendCursors(nil)); err != nil || !slices.Equal(a.cursors, b.cursors) || !slices.Equal(a.marks, b.marks) {
				t.Errorf("%+v comes back as %+v: %v", a, b, err)
			}
		}
		_ = (&stream{}).decodeLedger(v)
		_, _ = decodeLane(v)
		_, _, _ = decodeDead(key, v)
		_, _ = decodeRecovery(v)
	})
}

// FuzzPages changes one place of a bbolt file's first pages: the walk must end with an error or not, never otherwise.
func FuzzPages(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir, fastOptions())
	mustAppend(f, s, page(keyA, rec("a", noon, 1)))
	s.Close()
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file[:usedBytes(file)/os.Getpagesize()*os.Getpagesize()+os.Getpagesize()], os.Getpagesize())
	f.Fuzz(func(t *testing.T, file []byte, pageSize int) {
		if pageSize < 512 || pageSize > 1<<16 {
			return
		}
		_ = verifyTree(bytes.NewReader(file), int64(len(file)), pageSize)
	})
}
