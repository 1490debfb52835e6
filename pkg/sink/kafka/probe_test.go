package kafka

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/secure"
)

// TestProbe: the topics are looked up and none is created, nothing is produced; every fault says what to mend.
func TestProbe(t *testing.T) {
	_, server := newCA(t, nil, net.IPv4(127, 0, 0, 1))
	otherCA, _ := newCA(t, nil)
	records := []event.Record{{Key: event.StreamKey{Tenant: "t", Stream: "audits"}}, {Key: event.StreamKey{Tenant: "t", Stream: "signins.interactive"}}}
	for _, tt := range []struct {
		name   string
		server *tls.Config
		set    func(*broker)
		edit   func(*Config)
		class  fault.Class
		says   []string // nil: it is well
	}{
		{name: "well"},
		{name: "unknown topic", set: func(b *broker) {
			b.topics, b.autoCreate = map[string]kafka.Error{"entra-signins": kafka.UnknownTopicOrPartition}, true
		}, class: fault.Blocked, says: []string{`topic "entra-signins": it does not exist: create it, or check topic`}},
		{name: "no right", set: func(b *broker) {
			b.topics = map[string]kafka.Error{"entra-audits": kafka.TopicAuthorizationFailed}
		}, class: fault.Blocked, says: []string{"grant this user Write and Describe on the topic"}},
		{name: "refused connection", set: func(b *broker) { b.listener.Close() }, says: []string{"connection refused"}},
		{name: "wrong CA", server: &tls.Config{Certificates: []tls.Certificate{server}}, edit: func(c *Config) { c.TLS = &secure.TLS{CAFile: otherCA} }, class: fault.Blocked, says: []string{"set tls.ca_file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBroker(t, 3, tt.server)
			if tt.set != nil {
				b.do(func() { tt.set(b) })
			}
			s := newSink(t, b, func(c *Config) {
				c.Topic = "entra-{family}"
				if tt.edit != nil {
					tt.edit(c)
				}
			})
			err := s.Probe(t.Context(), records)
			if (err == nil) != (tt.says == nil) || fault.Of(err) != tt.class {
				t.Fatalf("class %s: %v", fault.Of(err), err)
			}
			for _, says := range tt.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q does not say %q", err, says)
				}
			}
			if n := len(b.Received()); n > 0 || tt.name == "unknown topic" && b.topics["entra-signins"] == 0 {
				t.Errorf("%d records were produced, topics %v", n, b.topics)
			}
		})
	}
}
