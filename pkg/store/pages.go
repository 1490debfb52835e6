package store

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"io"
	"os"
)

// Layout of a bbolt file (go.etcd.io/bbolt/internal/common): pages of equal size in the byte order of the machine. A page has
// a header of 16 bytes: u64 id, u16 flags, u16 count, u32 further pages that it reaches over. The first two hold the meta:
// u32 magic, version, page size, flags; u64 root page, sequence, freelist, high water mark, transaction, FNV-1a of these.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	pageHead    = 16
	metaSize    = 64
	flagBranch  = 1
	flagLeaf    = 2
	keyMost     = 32768
	depthMost   = 40
	window      = 64 << 10 // of a page that is read at once: behind it lie values, which are not looked at
)

var order = binary.NativeEndian

// pages walks the tree of a bbolt file without bbolt, so that no content whatever can make it panic.
type pages struct {
	f     io.ReaderAt
	size  uint64 // of a page
	limit uint64 // pages
	used  []bool
}

// verifyPages checks all that bbolt takes for granted: that every page lies in the file and is used once, that elements lie
// in their page, and that keys are in order. Errors are *damage, or those of reading the file.
func verifyPages(path string, pageSize int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return verifyTree(f, info.Size(), pageSize)
}

func verifyTree(f io.ReaderAt, fileSize int64, pageSize int) error {
	p := pages{f: f, size: uint64(pageSize)}
	var root, last uint64
	found := false
	for i := range int64(2) {
		var b [pageHead + metaSize]byte
		if _, err := f.ReadAt(b[:], i*int64(pageSize)); err != nil {
			return pageError(err)
		}
		m := b[pageHead:]
		h := fnv.New64a()
		h.Write(m[:metaSize-8])
		if order.Uint32(m) != boltMagic || order.Uint32(m[4:]) != boltVersion || h.Sum64() != order.Uint64(m[56:]) {
			continue
		}
		if tx := order.Uint64(m[48:]); !found || tx > last {
			found, last, root, p.limit = true, tx, order.Uint64(m[16:]), order.Uint64(m[40:])
		}
	}
	if !found {
		return damaged("no meta page is valid")
	}
	if p.limit > uint64(fileSize)/p.size {
		return damaged("file has %d bytes, its %d pages need more", fileSize, p.limit)
	}
	p.used = make([]bool, p.limit)
	return p.page(root, nil, nil, 0)
}

func pageError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return damaged("file is cut short")
	}
	return err
}

// span is a part of the file whose beginning was read.
type span struct {
	p     *pages
	off   int64
	size  uint64
	start []byte
}

// at gives n bytes from place i of the span.
func (s *span) at(i, n uint64) ([]byte, error) {
	if i > s.size || n > s.size-i {
		return nil, damaged("element reaches over the end of its page at %d", s.off)
	}
	if i+n <= uint64(len(s.start)) {
		return s.start[i : i+n], nil
	}
	b := make([]byte, n)
	if _, err := s.p.f.ReadAt(b, s.off+int64(i)); err != nil {
		return nil, pageError(err)
	}
	return b, nil
}

// page checks the tree below a page; its keys have to lie in [least, end), nil means no bound.
func (p *pages) page(id uint64, least, end []byte, depth int) error {
	if id < 2 || id >= p.limit || depth > depthMost {
		return damaged("page %d of %d at depth %d", id, p.limit, depth)
	}
	off := int64(id * p.size)
	var head [pageHead]byte
	if _, err := p.f.ReadAt(head[:], off); err != nil {
		return pageError(err)
	}
	more := uint64(order.Uint32(head[12:]))
	if order.Uint64(head[:]) != id || more >= p.limit-id {
		return damaged("page %d says that it is %d with %d more", id, order.Uint64(head[:]), more)
	}
	for i := id; i <= id+more; i++ {
		if p.used[i] {
			return damaged("page %d is used twice", i)
		}
		p.used[i] = true
	}
	s := span{p: p, off: off, size: (more + 1) * p.size}
	s.start = make([]byte, min(s.size, window, max(p.size, pageHead+uint64(order.Uint16(head[10:]))*64)))
	if _, err := p.f.ReadAt(s.start, off); err != nil {
		return pageError(err)
	}
	return p.elements(&s, least, end, depth)
}

// elements checks the elements of a page, or of the page inside of a small bucket's value.
func (p *pages) elements(s *span, least, end []byte, depth int) error {
	head, err := s.at(0, pageHead)
	if err != nil {
		return err
	}
	flags, count := order.Uint16(head[8:]), uint64(order.Uint16(head[10:]))
	if flags != flagBranch && flags != flagLeaf || flags == flagBranch && count == 0 {
		return damaged("page at %d has flags %#x and %d elements", s.off, flags, count)
	}
	var children []child
	prev, free := least, pageHead+count*16
	for i := range count {
		el, err := p.element(s, flags, pageHead+i*16)
		if err != nil {
			return err
		}
		// bbolt lays keys and values one behind the other; overlapping ones could also make this walk endless.
		if el.start < free {
			return damaged("element %d of the page at %d overlaps another one", i, s.off)
		}
		free = el.value + el.valueSize
		if prev != nil && (bytes.Compare(el.key, prev) < 0 || i > 0 && bytes.Equal(el.key, prev)) || end != nil && bytes.Compare(el.key, end) >= 0 {
			return damaged("key %d of the page at %d is out of order", i, s.off)
		}
		prev = el.key
		if flags == flagLeaf {
			if err := p.bucket(s, el, depth); err != nil {
				return err
			}
			continue
		}
		children = append(children, el)
	}
	for i, c := range children {
		upper := end
		if i+1 < len(children) {
			upper = children[i+1].key
		}
		if err := p.page(c.page, c.key, upper, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// child is one element of a page.
type child struct {
	key       []byte
	start     uint64 // of the key, in the span
	page      uint64 // of a branch
	bucket    bool   // of a leaf: the value is a bucket
	value     uint64 // place in the span
	valueSize uint64
}

func (p *pages) element(s *span, flags uint16, at uint64) (child, error) {
	b, err := s.at(at, 16)
	if err != nil {
		return child{}, err
	}
	var c child
	var pos, size uint64
	if flags == flagBranch {
		pos, size, c.page = uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint64(b[8:])
	} else {
		kind := order.Uint32(b)
		pos, size, c.valueSize = uint64(order.Uint32(b[4:])), uint64(order.Uint32(b[8:])), uint64(order.Uint32(b[12:]))
		if c.bucket = kind == 1; kind > 1 {
			return child{}, damaged("element at %d has flags %#x", s.off+int64(at), kind)
		}
	}
	if size > keyMost {
		return child{}, damaged("key of %d bytes at %d", size, s.off+int64(at))
	}
	c.start, c.value = at+pos, at+pos+size
	if c.key, err = s.at(at+pos, size); err != nil {
		return child{}, err
	}
	if c.value+c.valueSize > s.size {
		return child{}, damaged("value reaches over the end of the page at %d", s.off)
	}
	return c, nil
}

// bucket checks the bucket that a leaf's value is, if it is one.
func (p *pages) bucket(s *span, c child, depth int) error {
	if !c.bucket {
		return nil
	}
	b, err := s.at(c.value, 16)
	if err != nil {
		return err
	}
	if c.valueSize < 16 {
		return damaged("bucket of %d bytes at %d", c.valueSize, s.off)
	}
	if root := order.Uint64(b); root != 0 {
		return p.page(root, nil, nil, depth+1)
	}
	inline := span{p: p, off: s.off + int64(c.value) + 16, size: c.valueSize - 16}
	if inline.start, err = s.at(c.value+16, inline.size); err != nil {
		return err
	}
	if len(inline.start) < pageHead || order.Uint16(inline.start[8:]) != flagLeaf || depth > depthMost {
		return damaged("small bucket at %d is not a leaf", inline.off)
	}
	return p.elements(&inline, nil, nil, depth+1)
}
