package kafka

import (
	"context"
	"fmt"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/logferry/logferry/pkg/secure"
)

// mechanism signs in with the password that the file holds when a connection is made, so that a rotated one needs no restart.
type mechanism struct {
	name     string // as in the configuration
	username string
	password *secure.Secret
}

func newMechanism(c SASL) sasl.Mechanism {
	if c.Mechanism == "" {
		return nil
	}
	return &mechanism{name: c.Mechanism, username: c.Username, password: secure.NewSecret(c.PasswordFile)}
}

// Name gives the name that is registered with IANA.
func (m *mechanism) Name() string {
	return map[string]string{"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512"}[m.name]
}

// Start begins one exchange.
func (m *mechanism) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := m.password.Get()
	if err != nil {
		return nil, nil, &credentialsError{err}
	}
	var inner sasl.Mechanism = plain.Mechanism{Username: m.username, Password: password}
	if m.name != "plain" {
		algorithm := scram.SHA256
		if m.name == "scram-sha-512" {
			algorithm = scram.SHA512
		}
		if inner, err = scram.Mechanism(algorithm, m.username, password); err != nil {
			// The cause is about characters that SASLprep forbids and might quote them.
			return nil, nil, &credentialsError{fmt.Errorf("the user name or password cannot be used with %s", m.Name())}
		}
	}
	return inner.Start(ctx)
}

// credentialsError is a fault on our side of the sign-in.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "sign in with sasl: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }
