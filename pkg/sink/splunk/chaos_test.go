package splunk

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

// indexers stand behind a load balancer with a cookie. What one has taken is on its disk seconds later; when it dies before, it is
// gone. Requests, replies and answers are lost on the way.
type indexers struct {
	mu      sync.Mutex
	random  *rand.Rand
	node    int
	sticky  bool
	down    time.Time           // until then nobody is there
	taken   map[string][]*taken // by channel, in the order of their ids
	disk    map[string]int
	crashes int
}

type taken struct {
	ids  []string
	safe time.Time // when it is on disk
	told bool
}

// crash takes the indexer away with all that is not on its disk.
func (x *indexers) crash() {
	x.settle()
	x.crashes++
	x.node++
	x.taken = map[string][]*taken{}
	if !x.sticky {
		x.down = time.Now().Add(4 * time.Second)
	}
}

// settle writes to disk what is due.
func (x *indexers) settle() {
	for _, requests := range x.taken {
		for _, r := range requests {
			if r.ids != nil && !time.Now().Before(r.safe) {
				for _, id := range r.ids {
					x.disk[id]++
				}
				r.ids = nil
			}
		}
	}
}

func (x *indexers) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	x.mu.Lock()
	delay := time.Duration(x.random.IntN(300)) * time.Millisecond
	x.mu.Unlock()
	time.Sleep(delay)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settle()
	if x.random.IntN(60) == 0 {
		x.crash()
	}
	luck := x.random.IntN(40)
	if time.Now().Before(x.down) || luck == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if luck == 1 {
		return posttest.Reply(502, "<html>"), nil
	}
	if luck == 2 {
		return posttest.Reply(503, `{"text":"Server is busy","code":9}`), nil
	}
	key := fmt.Sprint(x.node, r.Header.Get("X-Splunk-Request-Channel"))
	text := ""
	if strings.HasSuffix(r.URL.Path, "/ack") {
		text = x.tell(key, r.Body)
	} else {
		text = x.take(key, r.Body)
	}
	resp := posttest.Reply(200, text)
	if cookie := fmt.Sprint("node=", x.node); x.sticky && r.Header.Get("Cookie") != cookie {
		resp.Header.Set("Set-Cookie", cookie)
	}
	switch luck {
	case 3:
		return nil, io.ErrUnexpectedEOF
	case 4:
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(text[:len(text)/2]), broken{}))
	}
	return resp, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (x *indexers) take(key string, body io.Reader) string {
	zip, err := gzip.NewReader(body)
	if err != nil {
		return err.Error()
	}
	request := &taken{ids: []string{}, safe: time.Now().Add(time.Duration(x.random.IntN(6000)) * time.Millisecond)}
	for in := json.NewDecoder(zip); ; {
		var e envelope
		if in.Decode(&e) != nil {
			break
		}
		request.ids = append(request.ids, e.Fields.EventID)
	}
	x.taken[key] = append(x.taken[key], request)
	return fmt.Sprintf(`{"text":"Success","code":0,"ackId":%d}`, len(x.taken[key])-1)
}

func (x *indexers) tell(key string, body io.Reader) string {
	var question struct{ Acks []int }
	if err := json.NewDecoder(body).Decode(&question); err != nil {
		return err.Error()
	}
	answer := map[int]bool{}
	for _, id := range question.Acks {
		if requests := x.taken[key]; id < len(requests) && requests[id].ids == nil && !requests[id].told {
			answer[id], requests[id].told = true, true
		} else {
			answer[id] = false
		}
	}
	text, _ := json.Marshal(map[string]any{"acks": answer})
	return string(text)
}

// TestAckThroughChaos: whatever Send says is delivered is on a disk, while indexers die and all that can be lost is lost.
func TestAckThroughChaos(t *testing.T) {
	path := posttest.SecretFile(t, testToken)
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			x := &indexers{random: rand.New(rand.NewPCG(seed, 1)), sticky: seed%2 == 0, taken: map[string][]*taken{}, disk: map[string]int{}}
			cfg := Config{Common: post.Common{Endpoints: []string{"https://splunk.example.com"}}, TokenFile: path, Ack: "required"}
			s, err := New(cfg, event.Schema{Name: "ecs"}, Options{Transport: x})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			const each, sends, size = 20, 8, 3
			var all sync.WaitGroup
			var mu sync.Mutex
			tries := 0
			for w := range sends {
				all.Go(func() {
					for i := range each {
						var events []event.Event
						for k := range size {
							events = append(events, sample((w*each+i)*size+k, "audits", `{}`))
						}
						for err := errors.New("not sent"); err != nil; {
							mu.Lock()
							tries++
							mu.Unlock()
							if err = s.Send(context.Background(), events); err != nil {
								time.Sleep(time.Second)
							}
						}
						x.mu.Lock()
						for _, e := range events {
							if x.disk[e.EventID.String()] == 0 {
								t.Errorf("seed %d: %s counts as delivered and is on no disk", seed, e.ID)
							}
						}
						x.mu.Unlock()
					}
				})
			}
			all.Wait()
			if seed < 2 {
				t.Logf("seed %d: %d requests of events for %d, %d crashes", seed, tries, each*sends, x.crashes)
			}
		})
	}
}
