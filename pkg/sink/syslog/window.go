package syslog

import "time"

// window keeps the frames that were accepted last, to be sent again after a reconnect. It is bounded in octets.
type window struct {
	max    int
	buf    []byte // frames back to back, after a gap of frames already forgotten
	gap    int    // octets of buf that are forgotten
	frames []accepted
}

type accepted struct {
	size int
	at   time.Time
}

// add remembers frames, whose sizes are given, and forgets the oldest ones beyond the bound.
func (w *window) add(frames []byte, sizes []int, now time.Time) {
	if w.max == 0 {
		return
	}
	for len(frames) > w.max { // the beginning of a batch larger than the window would only be forgotten again
		frames, sizes = frames[sizes[0]:], sizes[1:]
	}
	forget, kept := 0, len(w.bytes())
	for kept+len(frames) > w.max {
		kept -= w.frames[forget].size
		forget++
	}
	w.forget(forget)
	if len(w.buf)+len(frames) > 2*w.max { // moving down once per window's worth keeps the copying linear
		w.buf = append(w.buf[:0], w.bytes()...)
		w.gap = 0
	}
	w.buf = append(w.buf, frames...)
	for _, size := range sizes {
		w.frames = append(w.frames, accepted{size, now})
	}
}

// bytes gives the frames in the window, oldest first.
func (w *window) bytes() []byte { return w.buf[w.gap:] }

// expire forgets the frames that were accepted before t.
func (w *window) expire(t time.Time) {
	n := 0
	for n < len(w.frames) && w.frames[n].at.Before(t) {
		n++
	}
	w.forget(n)
}

// renew marks all frames as accepted at now: they were sent again.
func (w *window) renew(now time.Time) {
	for i := range w.frames {
		w.frames[i].at = now
	}
}

func (w *window) forget(n int) {
	for _, f := range w.frames[:n] {
		w.gap += f.size
	}
	w.frames = append(w.frames[:0], w.frames[n:]...)
}
