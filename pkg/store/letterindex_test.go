package store

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestIDSet compares it with a map, over ids that come and go anywhere.
func TestIDSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s idSet
	want := map[uint64]bool{}
	for range 3000 {
		ids := map[uint64]bool{}
		at, width := 1+r.IntN(300), 1+r.IntN(60)
		for range 1 + r.IntN(20) {
			ids[uint64(at+r.IntN(width))] = true
		}
		sorted := slices.Sorted(maps.Keys(ids))
		if r.IntN(2) == 0 {
			s.add(sorted)
			maps.Copy(want, ids)
		} else {
			s.remove(sorted)
			maps.DeleteFunc(want, func(id uint64, _ bool) bool { return ids[id] })
		}
		all := slices.Sorted(maps.Keys(want))
		if !slices.Equal(s.ids, all) {
			t.Fatalf("%v, want %v", s.ids, all)
		}
		last, n := uint64(r.IntN(350)), r.IntN(10)
		first := slices.IndexFunc(all, func(id uint64) bool { return id > last })
		if first < 0 {
			first = len(all)
		}
		if got := s.after(last, n); !slices.Equal(got, all[first:min(first+n, len(all))]) {
			t.Fatalf("%d after %d of %v are %v", n, last, all, got)
		}
	}
}
