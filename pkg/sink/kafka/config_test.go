package kafka

import (
	"errors"
	"sort"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

func TestValidate(t *testing.T) {
	// Brokers are quoted: within a flow mapping go-yaml v1.19.2 reads [host:port] as a list of mappings.
	for _, tc := range []struct {
		name, yaml string
		want       []string // paths of the faults, sorted
	}{
		{"least", `{brokers: ["127.0.0.1:9092"], topic: entra}`, nil},
		{"tls with the system's roots", `{brokers: ["k1.example.com:9093", "[2001:db8::1]:9093"], topic: "entra-{family}", tls: {}, sasl: {}}`, nil},
		{"all", `{brokers: ["k1.example.com:9092"], topic: "{tenant}.{stream}_{date}", key: none, compression: zstd, acks: all, partitioner: murmur2, client_id: x,
			timeout: 1m, insecure: true, batch: {events: 10, bytes: 64KiB, linger: 1s}, sasl: {mechanism: scram-sha-512, username: u, password_file: /run/secrets/p}}`, nil},
		{"nothing", `{}`, []string{"brokers", "topic"}},
		{"plain text to another machine", `{brokers: ["127.0.0.1:9092", "k2.example.com:9092"], topic: entra}`, []string{"brokers[1]"}},
		{"brokers", `{brokers: [k1.example.com, "kafka://k1.example.com:9092", "k1.example.com:0", ":9092", "a:1,b:2"], topic: entra, tls: {}}`,
			[]string{"brokers[0]", "brokers[1]", "brokers[2]", "brokers[3]", "brokers[4]"}},
		{"words", `{brokers: ["localhost:9092"], topic: entra, key: upn, compression: brotli, acks: one, partitioner: crc32}`,
			[]string{"acks", "compression", "key", "partitioner"}},
		{"topic: placeholder", `{brokers: ["localhost:9092"], topic: "entra-{user}"}`, []string{"topic"}},
		{"topic: character", `{brokers: ["localhost:9092"], topic: "entra/{stream}"}`, []string{"topic"}},
		{"topic: dots", `{brokers: ["localhost:9092"], topic: ".."}`, []string{"topic"}},
		{"numbers", `{brokers: ["localhost:9092"], topic: entra, timeout: 10ms, batch: {events: -1}}`, []string{"batch", "timeout"}},
		{"tls", `{brokers: ["localhost:9092"], topic: entra, tls: {cert_file: a}}`, []string{"tls"}},
		{"sasl without mechanism", `{brokers: ["localhost:9092"], topic: entra, sasl: {username: u}}`, []string{"sasl.mechanism"}},
		{"sasl", `{brokers: ["localhost:9092"], topic: entra, sasl: {mechanism: gssapi}}`, []string{"sasl.mechanism", "sasl.password_file", "sasl.username"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c Config
			if err := yaml.UnmarshalWithOptions([]byte(tc.yaml), &c, yaml.Strict()); err != nil {
				t.Fatal(err)
			}
			err := c.Validate()
			if diff := cmp.Diff(tc.want, paths(t, err)); diff != "" {
				t.Errorf("faulty fields (-want +got):\n%s\n%v", diff, err)
			}
			if _, err := New(c, Options{}); (err == nil) != (tc.want == nil) {
				t.Errorf("New: %v", err)
			}
		})
	}
}

func paths(t *testing.T, err error) (out []string) {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			out = append(out, paths(t, e)...)
		}
		sort.Strings(out)
		return out
	}
	var e *field.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) is not a *field.Error", err, err)
	}
	return []string{e.Path}
}

func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		compression string
		batch       Batch
		want        event.Limits
	}{
		{"lz4", Batch{}, event.Limits{Events: 2000, Bytes: 900 << 10, Linger: 20 * time.Millisecond, InFlight: 1}},
		{"none", Batch{}, event.Limits{Events: 450, Bytes: 900 << 10, Linger: 20 * time.Millisecond, InFlight: 1}},
		{"none", Batch{Events: 3, Bytes: 10, Linger: 1}, event.Limits{Events: 1, Bytes: 10, Linger: 1, InFlight: 1}},
	} {
		s, err := New(Config{Brokers: []string{"localhost:9092"}, Topic: "entra", Compression: tc.compression, Batch: tc.batch}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, s.Limits()); diff != "" {
			t.Errorf("%s %+v (-want +got):\n%s", tc.compression, tc.batch, diff)
		}
	}
}
