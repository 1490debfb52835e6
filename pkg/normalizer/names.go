package normalizer

import (
	"encoding/binary"
	"math/bits"
)

// names finds a name's index among a fixed list without allocating. It is what a record's members and words are looked up in,
// some fifty times a record: a quarter of a map's cost.
type names struct {
	list  []string
	slots []uint16 // index + 1 into list, 0 for nothing; open addressing
}

// nowhere is the index of a name that is not in the list.
const nowhere = -1

// add appends a name and tells whether it is new.
func (n *names) add(name string) bool {
	if n.find([]byte(name)) != nowhere {
		return false
	}
	n.list = append(n.list, name)
	if len(n.slots) < 4*len(n.list) {
		n.slots = make([]uint16, 1<<bits.Len(uint(8*len(n.list))))
		for i := range n.list {
			n.place(i)
		}
		return true
	}
	n.place(len(n.list) - 1)
	return true
}

func (n *names) place(i int) {
	mask := len(n.slots) - 1
	at := int(hash([]byte(n.list[i]))) & mask
	for n.slots[at] != 0 {
		at = (at + 1) & mask
	}
	n.slots[at] = uint16(i + 1)
}

func (n *names) find(name []byte) int {
	if len(n.slots) == 0 {
		return nowhere
	}
	mask := len(n.slots) - 1
	for at := int(hash(name)) & mask; n.slots[at] != 0; at = (at + 1) & mask {
		if i := int(n.slots[at]) - 1; n.list[i] == string(name) {
			return i
		}
	}
	return nowhere
}

// hash looks at the length and at most 16 bytes: names of members differ there.
func hash(name []byte) uint32 {
	var a, b uint64
	switch n := len(name); {
	case n >= 8:
		a, b = binary.LittleEndian.Uint64(name), binary.LittleEndian.Uint64(name[n-8:])
	case n >= 4:
		a, b = uint64(binary.LittleEndian.Uint32(name)), uint64(binary.LittleEndian.Uint32(name[n-4:]))
	case n > 0:
		a, b = uint64(name[0]), uint64(name[n-1])
	}
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	hi, lo := bits.Mul64(a^odd1, b^odd2^uint64(len(name)))
	return uint32(hi ^ lo)
}
