package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/logferry/logferry/pkg/fault"
)

// cluster is the way to the brokers. kafka.Transport keeps the picture of the cluster (leaders, partitions) for a set of topics that
// is fixed when it is made, renews it at random times only, and keeps its first error; so the transport is replaced when a
// topic is added and after each failure: the next Send sees the cluster as it is. Not for concurrent use.
type cluster struct {
	brokers  []string
	addr     net.Addr
	clientID string
	timeout  time.Duration
	tls      *tls.Config
	sasl     sasl.Mechanism
	dial     func(ctx context.Context, network, address string) (net.Conn, error)

	link    *link
	topics  []string             // sorted; those that the link knows
	missing map[string]time.Time // topics that do not exist, since when
	grace   time.Duration        // how long a broker may take to create a topic
}

// link is a transport with all that it has opened.
type link struct {
	transport *kafka.Transport
	client    *kafka.Client
	cancel    context.CancelFunc
}

// topic is the picture of one topic.
type topic struct {
	name       string
	partitions []int   // 0, 1, .. with those that have no leader now: else keys would move
	err        error   // of package fault: nothing can be sent to it now
	batches    []batch // of the Send in work, by partition
}

const (
	dialTimeout = 5 * time.Second
	// metadataTTL is also the deadline of each metadata request. Nothing waits for it to pass: see drop.
	metadataTTL = 10 * time.Second
	mostTopics  = 100
)

// connect makes the link if there is none, or one that knows more topics.
func (c *cluster) connect(names []string) *link {
	var added []string
	for _, name := range names {
		if _, known := slices.BinarySearch(c.topics, name); !known {
			added = append(added, name)
		}
	}
	if len(added) > 0 {
		c.drop()
		if len(c.topics)+len(added) > mostTopics { // names with a date: those of the past go
			c.topics, added = nil, names
		}
		c.topics = append(slices.Clone(c.topics), added...)
		slices.Sort(c.topics)
	}
	if c.link == nil {
		ctx, cancel := context.WithCancel(context.Background())
		t := &kafka.Transport{
			Dial: c.dialIn(ctx), DialTimeout: dialTimeout, MetadataTTL: metadataTTL, MetadataTopics: c.topics,
			ClientID: c.clientID, TLS: c.tls, SASL: c.sasl, Context: ctx,
		}
		c.link = &link{transport: t, cancel: cancel, client: &kafka.Client{Addr: c.addr, Timeout: c.timeout, Transport: t}}
	}
	return c.link
}

// drop cuts all connections, also those on which a request without a reply is waiting.
func (c *cluster) drop() {
	if c.link != nil {
		c.link.transport.CloseIdleConnections()
		c.link.cancel()
		c.link = nil
	}
}

// dialIn gives a dialer whose connections end with ctx.
func (c *cluster) dialIn(ctx context.Context) func(context.Context, string, string) (net.Conn, error) {
	return func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := c.dial(dialing, network, address)
		if err != nil {
			return nil, err
		}
		return &boundConn{Conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}, nil
	}
}

type boundConn struct {
	net.Conn
	stop func() bool
}

func (c *boundConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// lookup gives the picture of the topics, in their order. An error is of package fault and concerns all of them.
func (c *cluster) lookup(ctx context.Context, names []string) ([]topic, error) {
	link := c.connect(names)
	found, err := c.metadata(ctx, link, names)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, t := range found {
		if errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			unknown = append(unknown, t.Name)
		}
	}
	if len(unknown) > 0 {
		c.create(ctx, link, unknown)
		if found, err = c.metadata(ctx, link, names); err != nil {
			return nil, err
		}
	}
	topics := make([]topic, len(found))
	for i, t := range found {
		topics[i] = c.picture(t, time.Now())
	}
	return topics, nil
}

func (c *cluster) metadata(ctx context.Context, link *link, names []string) ([]kafka.Topic, error) {
	what := "read metadata from kafka at " + strings.Join(c.brokers, ",")
	reply, err := link.client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		err = cause(err)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && mend(err) == "" {
			err = fmt.Errorf("the broker has closed the connection, as it does when it wants other tls or sasl settings: %w", err)
		}
		return nil, judge(what, err)
	}
	if len(reply.Topics) != len(names) {
		return nil, fault.After(0, fmt.Errorf("%s: %d topics in the reply to a request for %d", what, len(reply.Topics), len(names)))
	}
	return reply.Topics, nil
}

// create asks for metadata once more, in the way on which a broker that is allowed to creates topics. What comes of it is seen
// in the metadata.
func (c *cluster) create(ctx context.Context, link *link, names []string) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	_, _ = link.transport.RoundTrip(ctx, c.addr, &metadata.Request{TopicNames: names, AllowAutoTopicCreation: true})
}

func (c *cluster) picture(t kafka.Topic, now time.Time) topic {
	out := topic{name: t.Name}
	what := fmt.Sprintf("look up topic %q", t.Name)
	if !errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
		delete(c.missing, t.Name)
	}
	switch {
	case errors.Is(t.Error, kafka.UnknownTopicOrPartition):
		out.err = c.miss(what, t, now)
	case t.Error != nil:
		out.err = judge(what, t.Error)
	case len(t.Partitions) == 0:
		out.err = fault.After(0, fmt.Errorf("%s: it has no partitions yet", what))
	}
	for id := range t.Partitions {
		out.partitions = append(out.partitions, id)
	}
	return out
}

// miss judges a topic that does not exist: the broker may be creating it, but not for long.
func (c *cluster) miss(what string, t kafka.Topic, now time.Time) error {
	since, again := c.missing[t.Name]
	if !again {
		c.missing[t.Name] = now
	}
	if !again || now.Sub(since) < c.grace {
		return fault.After(0, fmt.Errorf("%s: it does not exist (yet): %w", what, t.Error))
	}
	return fault.Block(fmt.Errorf("%s: it does not exist and the broker does not create it: create it, or check topic: %w", what, t.Error))
}
