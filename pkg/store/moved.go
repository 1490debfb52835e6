package store

import "github.com/logferry/logferry/pkg/event"

// elsewhere tells which of the records' ids are known, under whatever minute. It is for streams whose records come back with a
// later time when they change: found new in its minute, such a record is an update all the same. The whole set is passed over,
// which streams of that kind can afford: they have some records a minute, not thousands. What every reader is past may be
// forgotten; then the record counts as new.
func (p *seenPage) elsewhere(records []event.Record) map[uint64]bool {
	ids := make(map[uint64]bool, len(records))
	for i := range records {
		ids[idHash(records[i].ID)] = false
	}
	if p.bucket == nil {
		return ids
	}
	c := p.bucket.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if len(k) != 6 || len(v) == 0 {
			continue
		}
		known := chunk{entries: v[1 : 1+(len(v)-1)/entrySize*entrySize]}
		for i := range known.len() {
			if _, asked := ids[known.hash(i)]; asked {
				ids[known.hash(i)] = true
			}
		}
	}
	return ids
}
