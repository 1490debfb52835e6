package budget

import "github.com/logferry/logferry/pkg/event"

// weights are the shares of the classes beside live. Backfill's is over a fifth of them all together, and so over a tenth of
// the whole when live takes its half.
var weights = [event.Classes]int{event.ClassCatchup: 15, event.ClassBehind: 9, event.ClassReread: 1, event.ClassBackfill: 9}

// shares are the weights of the classes that wait, and their sum. Live has as much as all others together, and four times as
// much as re-readers that are on time if only they wait beside it.
func (q *queues) shares() (share [event.Classes]int, total int) {
	for class, weight := range weights {
		if len(q.waiting[class]) > 0 {
			share[class] = weight
			total += weight
		}
	}
	if len(q.waiting[event.ClassLive]) > 0 {
		live := total
		if total == share[event.ClassReread] {
			live = 4 * total
		}
		share[event.ClassLive] = max(live, 1)
	}
	return share, total + share[event.ClassLive]
}

// choose gives the waiter whose turn it is, nil if nobody waits. It is the smooth weighted round robin of nginx: each class
// that waits is credited its share, and the one with the most credit pays for all. Nothing changes before charge.
func (q *queues) choose() *waiter {
	share, _ := q.shares()
	best := -1
	for class, n := range share {
		if n > 0 && (best < 0 || q.credit[class]+n > q.credit[best]+share[best]) {
			best = class
		}
	}
	if best < 0 {
		return nil
	}
	return q.waiting[best][0]
}

// charge books a request of a class. Who does not wait now saves nothing up, and owes nothing.
func (q *queues) charge(class event.Class) {
	share, total := q.shares()
	for c, n := range share {
		q.credit[c] += n
		if n == 0 {
			q.credit[c] = 0
		}
	}
	q.credit[class] -= total
}
