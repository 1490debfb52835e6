package pipeline

import "github.com/logferry/logferry/pkg/event"

// shownMinute is what the API shows of one minute.
type shownMinute struct {
	rows      []verifiedRow // those that count in the minute
	timeless  []verifiedRow // those without a time of their own: they are remembered for ever, and apart
	sum       uint64
	forgotten bool // ids and contents of what was read are not known any more
}

func (m *shownMinute) add(r verifiedRow) {
	if r.timeless {
		m.timeless = append(m.timeless, r)
		return
	}
	m.rows = append(m.rows, r)
	m.sum += r.Sum
	m.forgotten = m.forgotten || r.Known == event.Forgotten
}

// judge tells which rows are missing and which were changed. What was read of the minute is given as of before and after the
// reading: live or a re-reader may have been here in between. unclear says that it differs but nothing tells by which rows.
func (m *shownMinute) judge(before, after event.Minute) (missing, changed []verifiedRow, unclear bool) {
	exact := m.timeless
	if !m.forgotten {
		exact = append(exact, m.rows...)
	}
	for _, r := range exact {
		switch r.Known {
		case event.Missing:
			missing = append(missing, r)
		case event.Changed:
			changed = append(changed, r)
		}
	}
	if !m.forgotten || m.equals(before) || m.equals(after) {
		return missing, changed, false
	}
	lacking, ok := m.lacking(after)
	return append(missing, lacking...), changed, !ok
}

func (m *shownMinute) equals(read event.Minute) bool {
	return uint64(len(m.rows)) == read.Count && m.sum == read.Sum
}

// lacking finds the rows by which count and sum of the minute exceed what was read of it, if there are one or two of them, or
// if nothing at all was read.
func (m *shownMinute) lacking(read event.Minute) ([]verifiedRow, bool) {
	shown := uint64(len(m.rows))
	if read.Count == 0 {
		return m.rows, true
	}
	rest := m.sum - read.Sum
	switch shown - read.Count {
	case 1:
		for _, r := range m.rows {
			if r.Sum == rest {
				return []verifiedRow{r}, true
			}
		}
	case 2:
		places := make(map[uint64]int, len(m.rows))
		for i, r := range m.rows {
			if at, ok := places[rest-r.Sum]; ok {
				return []verifiedRow{m.rows[at], r}, true
			}
			places[r.Sum] = i
		}
	}
	return nil, false
}

// read gives how many of the rows were read before.
func (m *shownMinute) read(missing []verifiedRow) uint64 {
	n := len(m.rows)
	for _, r := range missing {
		if !r.timeless {
			n--
		}
	}
	return uint64(n)
}
