package splunk

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post"
)

const (
	inFlight    = 2           // requests at once: one is compressed while the other waits for its reply
	inFlightAck = 8           // with acknowledgement: each waits for seconds
	maxReply    = 64 << 10    // of a reply, which is a line as a rule
	relief      = time.Minute // with one request at once, after HEC has said that it is near its capacity
	askEvery    = time.Second // for the acknowledgements that a channel waits for
)

// Options are what tests replace.
type Options struct {
	Transport http.RoundTripper // nil: one made of the configuration
	AskEvery  time.Duration     // between questions for acknowledgements; 0: a second
}

// Sink sends to HEC. It is safe for concurrent use.
type Sink struct {
	cfg        Config
	encoder    *encoder
	credential post.Credential
	nodes      *post.Nodes
	collectors []*collector // by the numbers of nodes
	client     *post.Client
	buffers    post.Buffers
	askEvery   time.Duration
	acking     atomic.Bool  // an acknowledgement was offered
	relieving  atomic.Int64 // until when, Unix time in ns
}

// New makes a sink for events in schema. It reads the CA and client certificate files, but does not connect.
func New(cfg Config, schema event.Schema, o Options) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("validate splunk sink: %w", err)
	}
	cfg = cfg.withDefaults()
	enc, err := newEncoder(cfg, schema)
	if err != nil {
		return nil, err
	}
	urls, err := cfg.URLs(endpoint)
	if err != nil {
		return nil, err
	}
	client, err := post.NewClient(cfg.Common, inFlightAck+1, o.Transport) // and a question
	if err != nil {
		return nil, err
	}
	s := &Sink{
		cfg: cfg, encoder: enc, credential: post.Plain("Splunk", "token_file", cfg.TokenFile),
		nodes: post.NewNodes(urls), client: client, askEvery: o.AskEvery,
	}
	for _, u := range urls {
		s.collectors = append(s.collectors, newCollector(u))
	}
	if s.askEvery == 0 {
		s.askEvery = askEvery
	}
	return s, nil
}

// Limits gives the batch settings. How many requests are made at once depends on what HEC has said.
func (s *Sink) Limits() event.Limits {
	most := inFlight
	if s.cfg.Ack == "required" || s.acking.Load() {
		most = inFlightAck
	}
	if time.Now().UnixNano() < s.relieving.Load() {
		most /= 2
	}
	return s.cfg.Limits(most)
}

// Close ends running Sends, which fail with a retryable error, all that come after, and the questions for acknowledgements.
func (s *Sink) Close() error { return s.client.Close() }
