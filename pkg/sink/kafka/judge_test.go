package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/logferry/logferry/pkg/fault"
)

// verdicts has every code that does not mean "try again".
var verdicts = map[kafka.Error]struct {
	class fault.Class
	hint  string // what the operator reads
}{
	kafka.MessageSizeTooLarge:                {fault.Poison, "max.message.bytes"},
	kafka.RecordListTooLarge:                 {fault.Poison, "max.message.bytes"},
	kafka.InvalidRecord:                      {fault.Poison, ""},
	kafka.InvalidTimestamp:                   {fault.Poison, ""},
	kafka.PolicyViolation:                    {fault.Poison, ""},
	kafka.TopicAuthorizationFailed:           {fault.Blocked, "grant this user Write and Describe"},
	kafka.ClusterAuthorizationFailed:         {fault.Blocked, "grant"},
	kafka.GroupAuthorizationFailed:           {fault.Blocked, "grant"},
	kafka.TransactionalIDAuthorizationFailed: {fault.Blocked, "grant"},
	kafka.BrokerAuthorizationFailed:          {fault.Blocked, "grant"},
	kafka.DelegationTokenAuthorizationFailed: {fault.Blocked, "grant"},
	kafka.DelegationTokenExpired:             {fault.Blocked, "grant"},
	kafka.SASLAuthenticationFailed:           {fault.Blocked, "sasl.password_file"},
	kafka.UnacceptableCredential:             {fault.Blocked, "sasl.password_file"},
	kafka.UnsupportedSASLMechanism:           {fault.Blocked, "sasl.mechanism"},
	kafka.IllegalSASLState:                   {fault.Blocked, "sasl"},
	kafka.SecurityDisabled:                   {fault.Blocked, "sasl"},
	kafka.InvalidTopic:                       {fault.Blocked, "change topic"},
	kafka.InvalidRequiredAcks:                {fault.Blocked, "acks=all"},
	kafka.UnsupportedVersion:                 {fault.Blocked, "too old"},
	kafka.UnsupportedForMessageFormat:        {fault.Blocked, "too old"},
	kafka.UnsupportedCompressionType:         {fault.Blocked, "compression"},
}

func TestJudgeCodes(t *testing.T) {
	for code := kafka.Error(-1); code <= 130; code++ { // kafka-go knows up to 106; later ones have no title
		if code == 0 {
			continue
		}
		for _, err := range []error{code, fmt.Errorf("%w: said the broker", code)} {
			got := judge("here", err)
			want := verdicts[code]
			if fault.Of(got) != want.class || !strings.Contains(got.Error(), want.hint) || !strings.HasPrefix(got.Error(), "here: ") {
				t.Errorf("%d: %s, want %s with %q: %v", int(code), fault.Of(got), want.class, want.hint, got)
			}
			if !errors.Is(got, code) {
				t.Errorf("%d: the code is not in the chain of %v", int(code), got)
			}
			if want.class == fault.Poison && fault.Reply(got) != err.Error() {
				t.Errorf("%d: reply is %q", int(code), fault.Reply(got))
			}
			if code.Temporary() && want.class != fault.Retryable {
				t.Errorf("%d: temporary by kafka-go, but %s here", int(code), want.class)
			}
		}
	}
}

func TestJudgeConnection(t *testing.T) {
	verification := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, tc := range []struct {
		err   error
		class fault.Class
		hint  string
	}{
		{io.EOF, fault.Retryable, ""},
		{io.ErrUnexpectedEOF, fault.Retryable, ""},
		{context.Canceled, fault.Retryable, "unknown"},
		{context.DeadlineExceeded, fault.Retryable, "unknown"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, fault.Retryable, ""},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, fault.Retryable, ""},
		{&net.DNSError{Name: "k1.example.com", IsNotFound: true}, fault.Retryable, ""},
		{protocol.NewErrNoTopic("entra"), fault.Retryable, ""},
		{protocol.NewErrNoPartition("entra", 3), fault.Retryable, ""},
		{protocol.NewErrNoLeader("entra", 3), fault.Retryable, ""},
		{errors.New("anything else"), fault.Retryable, ""},
		{verification(x509.UnknownAuthorityError{}), fault.Blocked, "tls.ca_file"},
		{verification(x509.CertificateInvalidError{Reason: x509.Expired}), fault.Blocked, "tls.ca_file"},
		{verification(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "k1.example.com"}), fault.Blocked, "tls.server_name"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, fault.Blocked, "leave out the tls block"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, fault.Blocked, "tls.cert_file"},
		{fmt.Errorf("%w: broker appears to be expecting TLS", io.ErrUnexpectedEOF), fault.Blocked, "add a tls block"},
		{&credentialsError{errors.New("no such file")}, fault.Blocked, "sasl.password_file"},
	} {
		got := judge("here", fmt.Errorf("wrapped: %w", tc.err))
		if fault.Of(got) != tc.class || !strings.Contains(got.Error(), tc.hint) || !errors.Is(got, tc.err) {
			t.Errorf("%v: %s, want %s with %q: %v", tc.err, fault.Of(got), tc.class, tc.hint, got)
		}
	}
	if err := judge("here", nil); err != nil {
		t.Errorf("nil: %v", err)
	}
}
