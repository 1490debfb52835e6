// Package syslog is the sink that sends events as syslog messages (RFC 5424) over TCP (RFC 6587) or TLS (RFC 5425), one
// octet-counted frame per event.
//
// Syslog has no reply. What Send can prove is that the peer's TCP stack has acknowledged every byte and that the connection
// still stood afterwards; a receiver that is killed with messages in its memory loses them all the same. Against that the
// last frames are kept and sent again after each reconnect. Such repeats carry the same event_id, in the structured data.
package syslog

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/logferry/logferry/pkg/field"
	"github.com/logferry/logferry/pkg/secure"
)

// Config is the syslog block of a sink. Zero values stand for the defaults.
type Config struct {
	Address         string         `yaml:"address"`                     // tcp://host:port or tls://host:port; default port of tls is 6514
	Insecure        bool           `yaml:"insecure,omitempty"`          // allows tcp:// to another machine: events go in plain text
	Format          string         `yaml:"format,omitempty"`            // rfc5424
	Framing         string         `yaml:"framing,omitempty"`           // octet: RFC 6587 section 3.4.1
	MaxMessageBytes field.Size     `yaml:"max_message_bytes,omitempty"` // of one message without its octet count; default 8000, which rsyslog takes unchanged
	OnOversize      string         `yaml:"on_oversize,omitempty"`       // truncate (default): a cut JSON body is no longer JSON; or dead_letter
	Facility        string         `yaml:"facility,omitempty"`          // kern .. local7; default local4
	AppName         string         `yaml:"app_name,omitempty"`          // default logferry; at most 48 characters
	Hostname        string         `yaml:"hostname,omitempty"`          // default: the tenant's id; at most 255 characters
	EnterpriseID    uint32         `yaml:"enterprise_id,omitempty"`     // IANA private enterprise number in the SD-ID; default 32473 (documentation)
	BOM             bool           `yaml:"bom,omitempty"`               // starts MSG with a UTF-8 byte order mark, as RFC 5424 wants and JSON parsers do not
	Timeout         field.Duration `yaml:"timeout,omitempty"`           // to connect, and for each stretch without progress; default 30s
	TLS             secure.TLS     `yaml:"tls,omitempty"`
	Batch           Batch          `yaml:"batch,omitempty"`
	Replay          Replay         `yaml:"replay,omitempty"`
}

// Batch bounds one Send.
type Batch struct {
	Events int            `yaml:"events,omitempty"` // default 500
	Bytes  field.Size     `yaml:"bytes,omitempty"`  // default 1MiB
	Linger field.Duration `yaml:"linger,omitempty"` // default 1s
}

// Replay bounds what is sent again after a reconnect.
type Replay struct {
	Bytes *field.Size    `yaml:"bytes,omitempty"` // default 1MiB; 0 switches it off
	Age   field.Duration `yaml:"age,omitempty"`   // frames sent longer than this before the connection was lost stay away; default 1m
}

const (
	truncate   = "truncate"
	deadLetter = "dead_letter"

	// minMessage leaves room for the longest header that encode makes (about 1,300 octets) and is what RFC 5424 section 6.1
	// says that receivers should accept.
	minMessage = 2048
	maxMessage = 16 << 20
)

// facilities are the names of RFC 5424 section 6.2.1, by number, in the words that rsyslog and syslog-ng use.
var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
	"alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// Validate finds all that is wrong with the block without touching files or the network.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(path, format string, args ...any) { errs = append(errs, field.Errorf(path, format, args...)) }

	addr, err := parseAddress(c.Address, c.Insecure)
	if err != nil {
		bad("address", "%v", err)
	}
	if err == nil && !addr.tls && c.TLS != (secure.TLS{}) {
		bad("tls", "has no meaning with tcp://: use tls://")
	}
	if c.Format != "rfc5424" {
		bad("format", "%q is unknown: there is rfc5424", c.Format)
	}
	switch c.Framing {
	case "octet":
	case "lf":
		bad("framing", "lf comes with a later version: use octet")
	default:
		bad("framing", "%q is unknown: use octet", c.Framing)
	}
	if c.MaxMessageBytes < minMessage || c.MaxMessageBytes > maxMessage {
		bad("max_message_bytes", "%d is outside %d..%d", int64(c.MaxMessageBytes), minMessage, maxMessage)
	}
	if c.OnOversize != truncate && c.OnOversize != deadLetter {
		bad("on_oversize", "%q is unknown: use truncate or dead_letter", c.OnOversize)
	}
	if !slices.Contains(facilities, c.Facility) {
		bad("facility", "%q is unknown: use local0 to local7, audit, authpriv, auth, daemon, user, ..", c.Facility)
	}
	if !printable(c.AppName) || len(c.AppName) > maxAppName {
		bad("app_name", "must be at most %d printable ASCII characters without a space", maxAppName)
	}
	if !printable(c.Hostname) || len(c.Hostname) > maxHostname {
		bad("hostname", "must be at most %d printable ASCII characters without a space", maxHostname)
	}
	if c.Timeout.Std() < time.Second {
		bad("timeout", "%s is too short: use 1s or more", c.Timeout)
	}
	if err := c.TLS.Validate(); err != nil {
		bad("tls", "%v", err)
	}
	if c.Batch.Events < 0 {
		bad("batch.events", "must not be negative")
	}
	return errors.Join(errs...)
}

// Default is what an empty block means.
func Default() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	c.Format = cmp.Or(c.Format, "rfc5424")
	c.Framing = cmp.Or(c.Framing, "octet")
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, 8000)
	c.OnOversize = cmp.Or(c.OnOversize, truncate)
	c.Facility = cmp.Or(c.Facility, "local4")
	c.AppName = cmp.Or(c.AppName, "logferry")
	c.EnterpriseID = cmp.Or(c.EnterpriseID, 32473)
	c.Timeout = cmp.Or(c.Timeout, field.Duration(30*time.Second))
	c.Batch.Events = cmp.Or(c.Batch.Events, 500)
	c.Batch.Bytes = cmp.Or(c.Batch.Bytes, 1<<20)
	c.Batch.Linger = cmp.Or(c.Batch.Linger, field.Duration(time.Second))
	if c.Replay.Bytes == nil {
		c.Replay.Bytes = new(field.Size)
		*c.Replay.Bytes = 1 << 20
	}
	c.Replay.Age = cmp.Or(c.Replay.Age, field.Duration(time.Minute))
	return c
}

// address is where the receiver is.
type address struct {
	tls      bool
	host     string
	hostport string
}

func (a address) String() string {
	if a.tls {
		return "tls://" + a.hostport
	}
	return "tcp://" + a.hostport
}

func parseAddress(raw string, insecure bool) (address, error) {
	if raw == "" {
		return address{}, errors.New("is missing: write tls://host:6514 or tcp://host:514")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return address{}, errors.New("is not an address: write tls://host:6514 or tcp://host:514")
	}
	a := address{tls: u.Scheme == "tls", host: u.Hostname()}
	port := u.Port()
	switch u.Scheme {
	case "tls":
		port = cmp.Or(port, "6514") // RFC 5425 section 4.1
	case "tcp":
		if port == "" {
			return address{}, errors.New("lacks a port: plain TCP syslog has no registered one, 514 and 601 are usual")
		}
		if !insecure && !secure.Loopback(a.host) {
			return address{}, errors.New("would send events in plain text to another machine: use tls://, or set insecure: true")
		}
	case "udp", "relp", "relp+tls":
		return address{}, errors.New(u.Scheme + ":// comes with a later version: use tls:// or tcp://")
	default:
		return address{}, errors.New("has an unknown scheme: use tls:// or tcp://")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return address{}, errors.New("has an impossible port: use 1 to 65535")
	}
	a.hostport = net.JoinHostPort(a.host, port)
	return a, nil
}
