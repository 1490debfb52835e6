package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// LoadFile puts a file's records into the first tenant, visible at once: a Graph page {"value":[..]}, an array, or one object a line.
// The stream is told by each record's members. It returns how many there were.
func (s *Server) LoadFile(file string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("load records: %w", err)
	}
	records, err := splitRecords(data)
	if err != nil {
		return 0, fmt.Errorf("load records from %s: %w", file, err)
	}
	for i, raw := range records {
		var m members
		if err := json.Unmarshal(raw, &m); err != nil {
			return i, fmt.Errorf("load record %d of %s: %w", i+1, file, err)
		}
		stream := m.stream()
		a, err := newAddedRecord(Record{Raw: raw}, stream)
		if err != nil {
			return i, fmt.Errorf("load record %d of %s: %w", i+1, file, err)
		}
		if stream < 0 {
			return i, fmt.Errorf("load record %d of %s: its members tell no stream (%v)", i+1, file, allStreams)
		}
		s.tenants[0].added[stream].add(a)
	}
	return len(records), nil
}

func splitRecords(data []byte) ([]json.RawMessage, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil, errors.New("it is empty")
	}
	var list []json.RawMessage
	if data[0] == '[' {
		err := json.Unmarshal(data, &list)
		return list, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	for decoder.More() {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		var page struct {
			Value *[]json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, err
		}
		if page.Value != nil {
			list = append(list, *page.Value...)
			continue
		}
		list = append(list, raw)
	}
	return list, nil
}
