package authtest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// skew is how far the clock of who made an assertion may be off.
const skew = 5 * time.Minute

// Trust is a federated credential: an issuer whose tokens the app takes as its own.
type Trust struct {
	Issuer, Subject, Audience string
	Key                       *rsa.PublicKey
}

// Federate has the app trust exactly these.
func (a *Authority) Federate(all ...Trust) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trusted = all
}

type claims struct {
	Audience string `json:"aud"`
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	ID       string `json:"jti"`
	Begins   int64  `json:"nbf"`
	Ends     int64  `json:"exp"`
}

// assertion judges a JWT: the app's own, or that of an issuer whom it trusts.
func (a *Authority) assertion(jwt, audience string) *Refusal {
	var header struct {
		Algorithm  string `json:"alg"`
		Type       string `json:"typ"`
		Thumbprint string `json:"x5t#S256"`
	}
	var c claims
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || !decode(parts[0], &header) || !decode(parts[1], &c) {
		return refuse(400, "invalid_request", 50027)
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return refuse(400, "invalid_request", 50027)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if header.Thumbprint == "" {
		return a.federated(c, header.Algorithm, digest[:], signature)
	}
	// The platform takes both forms of base64.
	raw, err := base64.RawURLEncoding.DecodeString(header.Thumbprint)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(header.Thumbprint)
	}
	if err != nil || len(raw) != sha256.Size || header.Algorithm != "PS256" || header.Type != "JWT" {
		return refuse(401, "invalid_client", 700027)
	}
	cert := a.certs[[sha256.Size]byte(raw)]
	if cert == nil || a.now().After(cert.NotAfter) {
		return refuse(401, "invalid_client", 700027)
	}
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	if rsa.VerifyPSS(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], signature, options) != nil {
		return refuse(401, "invalid_client", 700027)
	}
	if c.Audience != audience || c.Issuer != Client || c.Subject != Client {
		return refuse(401, "invalid_client", 700023)
	}
	if a.outside(c) || time.Duration(c.Ends-c.Begins)*time.Second > 10*time.Minute {
		return refuse(401, "invalid_client", 700024)
	}
	if len(c.ID) < 20 || a.used[c.ID] {
		return refuse(401, "invalid_client", 50027)
	}
	if a.used == nil {
		a.used = map[string]bool{}
	}
	a.used[c.ID] = true
	return nil
}

func (a *Authority) outside(c claims) bool {
	now := a.now()
	return now.Before(time.Unix(c.Begins, 0).Add(-skew)) || now.After(time.Unix(c.Ends, 0).Add(skew))
}

// federated looks for the trust that the token matches; the number tells what differs.
func (a *Authority) federated(c claims, algorithm string, digest, signature []byte) *Refusal {
	number := 70021
	for _, t := range a.trusted {
		switch {
		case t.Issuer != c.Issuer:
			number = 700211
		case t.Audience != c.Audience:
			number = 700212
		case t.Subject != c.Subject:
			number = 700213
		case algorithm != "RS256" || rsa.VerifyPKCS1v15(t.Key, crypto.SHA256, digest, signature) != nil:
			number = 50013
		case a.outside(c):
			number = 700024
		default:
			return nil
		}
	}
	return refuse(401, "invalid_client", number)
}

func decode(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}
