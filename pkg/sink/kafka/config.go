package kafka

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

// Config is the kafka block of a sink. Fields left out have the defaults that are named here.
type Config struct {
	Brokers     []string       `yaml:"brokers"`               // host:port, any of the cluster's brokers
	Topic       string         `yaml:"topic"`                 // may hold {tenant} {stream} {family} {date}
	Key         string         `yaml:"key,omitempty"`         // user (default), event_id, tenant, none: what is kept in order within a partition
	Compression string         `yaml:"compression,omitempty"` // lz4 (default), none, gzip, zstd, snappy
	Acks        string         `yaml:"acks,omitempty"`        // all, the only one: with fewer an accepted event may be lost
	Partitioner string         `yaml:"partitioner,omitempty"` // murmur2, the only one: that of the Java client
	ClientID    string         `yaml:"client_id,omitempty"`   // default logferry; shown in the broker's metrics, quotas may be bound to it
	Timeout     field.Duration `yaml:"timeout,omitempty"`     // of one Send; default 30s
	Batch       Batch          `yaml:"batch,omitempty"`
	TLS         *secure.TLS    `yaml:"tls,omitempty"` // present, even empty: TLS
	SASL        SASL           `yaml:"sasl,omitempty"`
	Insecure    bool           `yaml:"insecure,omitempty"` // allows brokers on other machines without TLS
}

// Batch is how much goes into one Send.
type Batch struct {
	Events int            `yaml:"events,omitempty"` // default 2000
	Bytes  field.Size     `yaml:"bytes,omitempty"`  // of bodies, before compression; default 900KiB, below the broker's message.max.bytes of 1 MiB
	Linger field.Duration `yaml:"linger,omitempty"` // default 20ms
}

// SASL is how the sink signs in. Without a mechanism it does not.
type SASL struct {
	Mechanism    string `yaml:"mechanism,omitempty"` // plain, scram-sha-256, scram-sha-512
	Username     string `yaml:"username,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"` // read again for each new connection
}

// The values of key.
const (
	keyUser    = "user"
	keyEventID = "event_id"
	keyTenant  = "tenant"
	keyNone    = "none"
)

// Default is what an empty block means.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.Key, keyUser)
	set(&c.Compression, "lz4")
	set(&c.Acks, "all")
	set(&c.Partitioner, "murmur2")
	set(&c.ClientID, "logferry")
	if c.Timeout == 0 {
		c.Timeout = field.Duration(30 * time.Second)
	}
	if c.Batch.Events == 0 {
		c.Batch.Events = 2000
	}
	if c.Batch.Bytes == 0 {
		c.Batch.Bytes = 900 << 10
	}
	if c.Batch.Linger == 0 {
		c.Batch.Linger = field.Duration(20 * time.Millisecond)
	}
	return c
}

// Validate finds all that is wrong without reading a file or opening a connection: a *field.Error, or several joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	oneOf := func(path, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			errs = append(errs, field.Errorf(path, "%q is not known: use %s", value, strings.Join(allowed, ", ")))
		}
	}
	oneOf("key", c.Key, keyUser, keyEventID, keyTenant, keyNone)
	oneOf("compression", c.Compression, "none", "lz4", "gzip", "zstd", "snappy")
	oneOf("acks", c.Acks, "all")
	oneOf("partitioner", c.Partitioner, "murmur2")
	if len(c.Brokers) == 0 {
		errs = append(errs, field.Errorf("brokers", "is missing: name at least one broker as host:port"))
	}
	for i, broker := range c.Brokers {
		if err := c.checkBroker(broker); err != nil {
			errs = append(errs, field.In("brokers["+strconv.Itoa(i)+"]", err))
		}
	}
	if err := checkTopic(c.Topic); err != nil {
		errs = append(errs, field.In("topic", err))
	}
	if c.Timeout < field.Duration(time.Second) {
		errs = append(errs, field.Errorf("timeout", "%s is too short: use at least 1s", c.Timeout))
	}
	if c.Batch.Events < 0 || c.Batch.Bytes < 0 || c.Batch.Bytes > 100<<20 {
		errs = append(errs, field.Errorf("batch", "events must be positive, bytes between 1 and 100MiB"))
	}
	if c.TLS != nil {
		errs = append(errs, field.In("tls", c.TLS.Validate()))
	}
	errs = append(errs, field.In("sasl", c.SASL.validate()))
	return errors.Join(errs...)
}

func (c Config) checkBroker(broker string) error {
	host, port, err := net.SplitHostPort(broker)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(broker, "/, @") {
		return field.Errorf("", "%q is not a broker: write host:port", broker)
	}
	if c.TLS == nil && !c.Insecure && !secure.Loopback(host) {
		return field.Errorf("", "%q would get everything in plain text: add a tls block (tls: {} for the system's roots), or set insecure: true", broker)
	}
	return nil
}

// checkTopic holds a topic against the broker's rules for names, with an example record in the place of placeholders.
func checkTopic(topic string) error {
	if topic == "" {
		return errors.New("is missing: name the topic, such as entra-{family}")
	}
	tmpl, err := event.ParseTemplate(topic)
	if err != nil {
		return err
	}
	example := event.Record{Key: event.StreamKey{Tenant: strings.Repeat("0", 36), Stream: "signins.interactive"}}
	name := string(tmpl.Append(nil, &example))
	illegal := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
	if illegal >= 0 || len(name) > 249 || name == "." || name == ".." {
		return field.Errorf("", "%q is no topic name: use up to 249 letters, digits, '.', '_' and '-'", topic)
	}
	return nil
}

func (s SASL) validate() error {
	var errs []error
	switch s.Mechanism {
	case "":
		if s.Username != "" || s.PasswordFile != "" {
			errs = append(errs, field.Errorf("mechanism", "is missing: use plain, scram-sha-256 or scram-sha-512"))
		}
		return errors.Join(errs...)
	case "plain", "scram-sha-256", "scram-sha-512":
	default:
		errs = append(errs, field.Errorf("mechanism", "%q is not known: use plain, scram-sha-256 or scram-sha-512", s.Mechanism))
	}
	if s.Username == "" {
		errs = append(errs, field.Errorf("username", "is missing"))
	}
	if s.PasswordFile == "" {
		errs = append(errs, field.Errorf("password_file", "is missing: name a file that holds the password"))
	}
	return errors.Join(errs...)
}
