package syslog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"github.com/logferry/logferry/pkg/fault"
)

// judge gives err its class: what only an operator can mend (all of TLS but a broken connection) is Blocked, with the way
// out; everything else is Retryable.
func judge(what string, err error) error {
	if hint := tlsHint(err); hint != "" {
		return fault.Block(fmt.Errorf("%s: %w: %s", what, err, hint))
	}
	return fmt.Errorf("%s: %w", what, err)
}

// tlsHint says how to mend a fault of TLS; "" for any other error.
func tlsHint(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		header    tls.RecordHeaderError
		op        *net.OpError
		path      *fs.PathError
	)
	switch {
	case errors.As(err, &authority):
		return "the receiver's certificate comes from an unknown authority: set tls.ca_file to the CA that issued it"
	case errors.As(err, &name):
		return "the receiver's certificate is for another name: use that name in address, or set tls.server_name to it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the receiver's certificate has expired or is not valid yet: renew it there, or set the clock here"
	case errors.As(err, &verify), errors.As(err, &invalid):
		return "the receiver's certificate is not usable: have it issued for TLS servers"
	case errors.As(err, &header):
		return "the receiver does not speak TLS on this port: use its TLS port, or tcp:// with insecure: true"
	case errors.As(err, &path):
		return "the client certificate cannot be read: see tls.cert_file and tls.key_file"
	// crypto/tls has no exported type for an alert that the peer sent: this operation's name is what tells it.
	case errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() != "tls: internal error":
		return "the receiver refused the TLS connection: see tls.cert_file (a client certificate that it trusts) and its log"
	}
	return ""
}
