package syslog

import (
	"slices"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/secure"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want []string // beginnings of the faults
	}{
		{"smallest", Config{Address: "tls://relay.example.com"}, nil},
		{"loopback", Config{Address: "tcp://[::1]:514"}, nil},
		{"plain, wanted", Config{Address: "tcp://relay.example.com:601", Insecure: true}, nil},
		{"empty", Config{}, []string{"address: is missing"}},
		{"plain", Config{Address: "tcp://192.0.2.1:514"}, []string{"address: would send events in plain text"}},
		{"no port", Config{Address: "tcp://localhost"}, []string{"address: lacks a port"}},
		{"port", Config{Address: "tls://localhost:70000"}, []string{"address: has an impossible port"}},
		{"no scheme", Config{Address: "relay.example.com:514"}, []string{"address: is not an address"}},
		{"path", Config{Address: "tls://relay.example.com/x"}, []string{"address: is not an address"}},
		{"tls over tcp", Config{Address: "tcp://localhost:514", TLS: secure.TLS{CAFile: "ca.pem"}}, []string{"tls: has no meaning with tcp://"}},
		{"http", Config{Address: "http://relay.example.com"}, []string{"address: has an unknown scheme"}},
		{"udp", Config{Address: "udp://relay.example.com:514"}, []string{"address: udp:// comes with a later version"}},
		{"relp", Config{Address: "relp+tls://relay.example.com:20514"}, []string{"address: relp+tls:// comes with a later version"}},
		{"lf", Config{Address: "tls://h", Framing: "lf"}, []string{"framing: lf comes with a later version"}},
		{"all wrong", Config{
			Address: "tls://h", Format: "rfc3164", Framing: "nul", MaxMessageBytes: 480, OnOversize: "split", Facility: "local8",
			AppName: "two words", Hostname: strings.Repeat("h", 256), Timeout: 1, TLS: secure.TLS{CertFile: "x"}, Batch: Batch{Events: -1},
		}, []string{"format: ", "framing: ", "max_message_bytes: ", "on_oversize: ", "facility: ", "app_name: ", "hostname: ", "timeout: ", "tls: ", "batch.events: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			if err := tt.cfg.Validate(); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("faults are %q, want %q", got, tt.want)
			}
		})
	}
}
