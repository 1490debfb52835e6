package authtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"time"
)

// Pair makes an RSA key with a certificate that signs itself.
func Pair(until time.Time) (*rsa.PrivateKey, *x509.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	cert, err := Certify(key, until)
	return key, cert, err
}

// Certify makes another certificate for a key: keys take long to make.
func Certify(key *rsa.PrivateKey, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "logferry.example.com"}, NotBefore: until.Add(-365 * 24 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PEM writes both into one file's content, the key first.
func PEM(key *rsa.PrivateKey, cert *x509.Certificate) []byte {
	der, _ := x509.MarshalPKCS8PrivateKey(key) // cannot fail for RSA
	var b bytes.Buffer
	_ = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return b.Bytes()
}

// Token is an OIDC token as t's issuer would sign it.
func (t Trust) Token(key *rsa.PrivateKey, from, until time.Time) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT","kid":"1"}`))
	payload, _ := json.Marshal(claims{Audience: t.Audience, Issuer: t.Issuer, Subject: t.Subject, ID: rand.Text(), Begins: from.Unix(), Ends: until.Unix()})
	signed := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
