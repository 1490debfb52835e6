package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/segmentio/kafka-go"

	"github.com/logferry/logferry/pkg/fault"
)

// judge gives err its class. what names the place, such as `produce to topic "entra-audits" partition 3`. Whatever is not
// listed here is retryable, an error without a reply too: its result is unknown.
func judge(what string, err error) error {
	if err == nil {
		return nil
	}
	var code kafka.Error
	if errors.As(err, &code) {
		return judgeCode(what, code, err)
	}
	if hint := mend(err); hint != "" {
		return fault.Block(fmt.Errorf("%s: %w: %s", what, err, hint))
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no reply in time, the result is unknown: %w", err)
	}
	return fault.After(0, fmt.Errorf("%s: %w", what, err))
}

// judgeCode judges what a broker has said. The codes are those of https://kafka.apache.org/protocol#protocol_error_codes.
func judgeCode(what string, code kafka.Error, err error) error {
	hint := ""
	switch code {
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return fault.Refuse(fmt.Errorf("%s: larger than the broker takes (max.message.bytes of the topic): %w", what, err), err.Error())
	case kafka.InvalidRecord, kafka.InvalidTimestamp, kafka.PolicyViolation:
		return fault.Refuse(fmt.Errorf("%s: %w", what, err), err.Error())
	case kafka.TopicAuthorizationFailed:
		hint = "grant this user Write and Describe on the topic"
	case kafka.ClusterAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.TransactionalIDAuthorizationFailed,
		kafka.BrokerAuthorizationFailed, kafka.DelegationTokenAuthorizationFailed, kafka.DelegationTokenExpired:
		hint = "grant this user the permission that the broker asks for"
	case kafka.SASLAuthenticationFailed, kafka.UnacceptableCredential:
		hint = "check sasl.username and sasl.password_file"
	case kafka.UnsupportedSASLMechanism:
		hint = "set sasl.mechanism to one that the broker offers"
	case kafka.IllegalSASLState, kafka.SecurityDisabled:
		hint = "this listener asks for another way to sign in: check the sasl block and the port"
	case kafka.InvalidTopic:
		hint = "the broker does not take this name: change topic"
	case kafka.InvalidRequiredAcks:
		hint = "the broker does not know acks=all: it is too old or not Kafka"
	case kafka.UnsupportedVersion, kafka.UnsupportedForMessageFormat:
		hint = "the broker is too old: Kafka 0.11 or later is needed"
	case kafka.UnsupportedCompressionType:
		hint = "the broker does not take this compression: set compression to none or gzip"
	default:
		return fault.After(0, fmt.Errorf("%s: %w", what, err))
	}
	return fault.Block(fmt.Errorf("%s: %w: %s", what, err, hint))
}

// mend tells what an operator has to do about an error of the connection; "" for those that pass by themselves.
func mend(err error) string {
	var (
		credentials *credentialsError
		hostname    x509.HostnameError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		remote      *net.OpError
	)
	switch {
	case errors.As(err, &credentials):
		return "mend sasl.password_file"
	case errors.As(err, &hostname):
		return "set tls.server_name to a name that the broker's certificate has"
	case errors.As(err, &certificate):
		return "the broker's certificate is not trusted: set tls.ca_file to the CA that has signed it"
	case errors.As(err, &record):
		return "this port does not speak TLS: leave out the tls block or use the TLS port"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "the broker has ended the TLS handshake: check tls.cert_file and tls.key_file"
	case errors.Is(err, io.ErrUnexpectedEOF) && strings.Contains(err.Error(), "expecting TLS"):
		return "add a tls block"
	}
	return ""
}
