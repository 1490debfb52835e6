package pipeline

import "sync"

// gate keeps many out for the time in which one changes what they rely on. Waiting is on channels, so that a test's clock goes on.
type gate struct {
	mu     sync.Mutex
	inside int
	shut   chan struct{} // closed when it opens again; nil: it is open
	empty  chan struct{} // closed when the last one is out; nil: nobody waits for that
}

func (g *gate) enter() {
	for {
		g.mu.Lock()
		shut := g.shut
		if shut == nil {
			g.inside++
		}
		g.mu.Unlock()
		if shut == nil {
			return
		}
		<-shut
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// close lets nobody in and waits until nobody is inside. One at a time may do so.
func (g *gate) close() {
	g.mu.Lock()
	g.shut = make(chan struct{})
	var empty chan struct{}
	if g.inside > 0 {
		empty = make(chan struct{})
		g.empty = empty
	}
	g.mu.Unlock()
	if empty != nil {
		<-empty
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut = nil
}
