package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/event"
)

// fileRecord is a record of a file and where it begins.
type fileRecord struct {
	raw  json.RawMessage
	line int
}

// readRecords reads a file, "-" for standard input: NDJSON, an array, or pages {"value":[..]} of either API, also several in a row.
// An error names the file and the line.
func readRecords(file string, stdin io.Reader) ([]fileRecord, error) {
	data, err := readAll(file, stdin)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // Windows editors write it
	s := splitter{data: data}
	if !utf8.Valid(data) {
		at := 0
		for r, n := utf8.DecodeRune(data); r != utf8.RuneError || n != 1; r, n = utf8.DecodeRune(data[at:]) {
			at += n
		}
		return nil, fmt.Errorf("%s:%d: not UTF-8: save it so", file, s.line(at))
	}
	if at, err := s.split(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, s.line(at), err)
	}
	if len(s.records) == 0 {
		return nil, fmt.Errorf("%s: no records", file)
	}
	return s.records, nil
}

func readAll(file string, stdin io.Reader) ([]byte, error) {
	if file == "-" {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return data, nil
	}
	return os.ReadFile(file)
}

// splitter finds the records in a file's text.
type splitter struct {
	data    []byte
	records []fileRecord
	counted int // bytes whose line ends have been counted
	lines   int
}

// line gives the number of the line that holds a byte. Lines are counted as they come: later calls are for later bytes.
func (s *splitter) line(at int) int {
	if at < s.counted {
		s.counted, s.lines = 0, 0
	}
	s.lines += bytes.Count(s.data[s.counted:at], []byte("\n"))
	s.counted = at
	return s.lines + 1
}

// split collects the records. The place is that of a fault.
func (s *splitter) split() (at int, err error) {
	d := json.NewDecoder(bytes.NewReader(s.data))
	for {
		var value json.RawMessage
		switch err := d.Decode(&value); {
		case errors.Is(err, io.EOF):
			return 0, nil
		case err != nil:
			return placeOf(err, int(d.InputOffset()), len(s.data)), fmt.Errorf("read JSON: %w", err)
		}
		start := int(d.InputOffset()) - len(value)
		switch value[0] {
		case '[':
			s.elements(value, start)
		case '{':
			switch {
			case s.page(value, start):
			case isError(value):
				return start, fmt.Errorf("this is the API's error and no record: %.300s", value)
			default:
				s.add(value, start)
			}
		default:
			return start, fmt.Errorf("want a record, a page or an array, got %.20s", value)
		}
	}
}

// placeOf finds the byte of a fault, counted from the beginning.
func placeOf(err error, behind, end int) int {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return min(max(int(syntax.Offset)-1, 0), end)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return end
	}
	return behind
}

func (s *splitter) add(raw json.RawMessage, start int) {
	s.records = append(s.records, fileRecord{raw, s.line(start)})
}

// elements adds an array's. It has been checked before, so that nothing can fail.
func (s *splitter) elements(array json.RawMessage, start int) {
	d := json.NewDecoder(bytes.NewReader(array))
	_, _ = d.Token()
	for d.More() {
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return
		}
		s.add(raw, start+int(d.InputOffset())-len(raw))
	}
}

// page adds a page's records; not ok if the object has no list "value", which no record has.
func (s *splitter) page(object json.RawMessage, start int) (ok bool) {
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token()
	for d.More() {
		key, _ := d.Token()
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return ok
		}
		if key == "value" && raw[0] == '[' {
			s.elements(raw, start+int(d.InputOffset())-len(raw))
			ok = true
		}
	}
	return ok
}

// isError tells whether the object is what either API sends in place of a page: a record has an id, or at least a time.
func isError(object json.RawMessage) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil || len(members) != 1 {
		return false
	}
	return len(members["error"]) > 0 || len(members["odata.error"]) > 0
}

// previewTenant is made up, and the same each time.
const previewTenant = "11111111-2222-4333-8444-555555555555"

// previewRecord makes the record that a source would make of it, as far as that shows. It counts as read when it happened, so that a
// preview of the same file is the same text.
func previewRecord(stream string, raw []byte) event.Record {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(raw, &members) // what is no object the normalizer refuses
	rec := event.Record{Key: event.StreamKey{Cloud: "global", Tenant: previewTenant, Stream: stream}, Raw: raw}
	_ = json.Unmarshal(members["id"], &rec.ID)
	for _, name := range []string{"createdDateTime", "signinDateTime", "activityDateTime", "activityDate", "detectedDateTime", "riskLastUpdatedDateTime", "lastUpdateDateTime"} {
		if json.Unmarshal(members[name], &rec.Time) == nil && !rec.Time.IsZero() {
			break
		}
		rec.Time = time.Time{}
	}
	rec.Time = rec.Time.UTC()
	rec.Read = rec.Time
	if rec.Time.IsZero() {
		rec.Flags |= event.FlagNoTime
	}
	return rec
}
