package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificate names PEM files: the server's certificate, its PKCS #8 key and, where we made them, the CA.
type Certificate struct{ Cert, Key, CA string }

// Certificate returns the files that the TLS flags ask for, nil when they ask for none.
func (o *Options) Certificate() (*Certificate, error) {
	if o.TLSCert != "" {
		return &Certificate{Cert: o.TLSCert, Key: o.TLSKey}, nil
	}
	if !o.TLS {
		return nil, nil
	}
	return MakeCertificate(o.Dir)
}

// MakeCertificate writes ca.pem, server.pem and server.key to dir. Those of an earlier start are kept: a client that
// trusts them must be able to come back after a restart.
func MakeCertificate(dir string) (*Certificate, error) {
	c := &Certificate{
		Cert: filepath.Join(dir, "server.pem"),
		Key:  filepath.Join(dir, "server.key"),
		CA:   filepath.Join(dir, "ca.pem"),
	}
	_, err := os.Stat(c.Cert)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for server certificate: %w", err)
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "logferry test CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make CA key: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make server key: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode server key: %w", err)
	}
	if err := sign(c.CA, ca, ca, caKey, caKey); err != nil {
		return nil, err
	}
	if err := writePEM(c.Key, "PRIVATE KEY", pkcs8, 0o600); err != nil {
		return nil, err
	}
	return c, sign(c.Cert, server, ca, key, caKey) // last: its presence says that all three are there
}

func sign(path string, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		return fmt.Errorf("sign certificate %s: %w", cert.Subject.CommonName, err)
	}
	return writePEM(path, "CERTIFICATE", der, 0o644)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return fmt.Errorf("write PEM file: %w", err)
	}
	return nil
}
