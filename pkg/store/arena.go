package store

// arena hands out memory that lives until the end of a transaction: bbolt keeps the slices that it is given until its commit.
type arena struct {
	block []byte   // rest of the block in use
	out   [][]byte // blocks handed out in this transaction
	spare [][]byte // blocks from earlier ones
}

const (
	arenaBlock = 256 << 10
	arenaKeep  = 8 << 20 // most bytes kept between transactions
)

// take gives n bytes, which are not cleared.
func (a *arena) take(n int) []byte {
	if n > arenaBlock/4 {
		return a.large(n)
	}
	if n > len(a.block) {
		a.block = a.large(arenaBlock)
	}
	b := a.block[:n:n]
	a.block = a.block[n:]
	return b
}

// large gives a block of its own, a used one where one fits.
func (a *arena) large(n int) []byte {
	for i, b := range a.spare {
		if cap(b) >= n {
			last := len(a.spare) - 1
			a.spare[i] = a.spare[last]
			a.spare = a.spare[:last]
			a.out = append(a.out, b)
			return b[:n]
		}
	}
	b := make([]byte, n)
	a.out = append(a.out, b)
	return b
}

// reset takes everything back.
func (a *arena) reset() {
	a.block = nil
	kept := 0
	for _, b := range a.spare {
		kept += cap(b)
	}
	for _, b := range a.out {
		if kept+cap(b) > arenaKeep {
			continue
		}
		kept += cap(b)
		a.spare = append(a.spare, b[:cap(b)])
	}
	clear(a.out)
	a.out = a.out[:0]
}
