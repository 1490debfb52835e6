package auth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// assertionLife is how long an assertion may be used: as Microsoft's own libraries have it, enough for a clock that is a few
// minutes behind.
const assertionLife = 10 * time.Minute

// parseCertificate makes a proof of what readCertificate gives.
func parseCertificate(content, app, audience string) (*proof, error) {
	password, file, _ := strings.Cut(content, "\n")
	cert, key, err := loadCertificate([]byte(file), password)
	if err != nil {
		return nil, err
	}
	thumbprint := sha256.Sum256(cert.Raw)
	return &proof{
		expires: cert.NotAfter,
		public:  fmt.Sprintf("the certificate's thumbprint is %X, it is good until %s", sha1.Sum(cert.Raw), cert.NotAfter.UTC().Format(time.DateOnly)),
		form: func(now time.Time) (url.Values, error) {
			jwt, err := assertion(key, thumbprint, app, audience, now)
			return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {jwt}}, err
		},
	}, nil
}

// assertion makes the JWT that proves that we have the key.
// Source: https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
func assertion(key *rsa.PrivateKey, thumbprint [sha256.Size]byte, app, audience string, now time.Time) (string, error) {
	header, _ := json.Marshal(map[string]string{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(thumbprint[:])})
	claims, _ := json.Marshal(map[string]any{
		"aud": audience, "iss": app, "sub": app, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		return "", errors.New("sign the client assertion: the key in certificate_file cannot do it: an RSA key of 2048 bits or more is needed")
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// loadCertificate finds the RSA key and the certificate that belongs to it. Errors say nothing of the content.
func loadCertificate(file []byte, password string) (*x509.Certificate, *rsa.PrivateKey, error) {
	var certs [][]byte
	var keys []any
	first, _ := pem.Decode(file)
	switch {
	case first == nil:
		var err error
		if certs, keys, err = readPFX(file, password); err != nil {
			return nil, nil, err
		}
	case password != "":
		return nil, nil, errors.New("a PEM file takes no password: leave certificate_password_file out; an encrypted key is written in clear, into a file that only logferry can read, by `openssl pkey`")
	}
	for rest := file; first != nil; {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		rest = after
		switch {
		case block.Type == "CERTIFICATE":
			certs = append(certs, block.Bytes)
		case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return nil, nil, errors.New("its key is encrypted: `openssl pkey` writes it in clear, into a file that only logferry can read, or put both into a PKCS#12 file")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key, err := parseKey(block.Bytes)
			if err != nil {
				return nil, nil, err
			}
			keys = append(keys, key)
		}
	}
	return pair(certs, keys)
}

// parseKey reads a key in PKCS#8 or PKCS#1.
func parseKey(der []byte) (any, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, errors.New("its key cannot be read: an RSA key in PKCS#8 or PKCS#1 is needed")
	}
	return key, nil
}

// pair picks the key and its certificate among those of the chain.
func pair(certs [][]byte, keys []any) (*x509.Certificate, *rsa.PrivateKey, error) {
	switch {
	case len(certs) == 0:
		return nil, nil, errors.New("no certificate is in it: the file needs the certificate and its private key, as PEM or PKCS#12 (PFX)")
	case len(keys) == 0:
		return nil, nil, errors.New("no private key is in it: the file needs the certificate and its private key, as PEM or PKCS#12 (PFX)")
	case len(keys) > 1:
		return nil, nil, errors.New("several private keys are in it: leave only the certificate's own")
	}
	key, ok := keys[0].(*rsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("its key is not RSA: Entra ID takes assertions of RSA keys only")
	}
	for _, der := range certs {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, errors.New("a certificate in it cannot be read")
		}
		if key.PublicKey.Equal(cert.PublicKey) {
			return cert, key, nil
		}
	}
	return nil, nil, errors.New("the private key in it belongs to none of its certificates")
}
