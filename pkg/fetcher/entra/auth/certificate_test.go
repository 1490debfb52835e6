package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/auth/authtest"
)

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TestCertificateFiles signs in with each form of file that can be had, and names what is wrong with the others.
func TestCertificateFiles(t *testing.T) {
	key, cert := mustCertificate(t, time.Now().Add(time.Hour))
	_, other := mustCertificate(t, time.Now().Add(time.Hour))
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	elliptic, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	both := authtest.PEM(key, cert)
	own, pkcs1 := block("CERTIFICATE", cert.Raw), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, []byte("some words between\n")) }
	for _, c := range []struct {
		name     string
		content  []byte
		password string
		says     string // "": it can be used
	}{
		{"key and certificate", both, "", ""},
		{"PKCS#1, and the chain's certificate first", join(block("CERTIFICATE", other.Raw), own, pkcs1), "", ""},
		{"no key", own, "", "no private key"},
		{"no certificate", pkcs1, "", "no certificate"},
		{"another's key", join(block("CERTIFICATE", other.Raw), pkcs1), "", "belongs to none"},
		{"two keys", join(both, pkcs1), "", "several private keys"},
		{"elliptic curve", join(own, block("PRIVATE KEY", elliptic)), "", "not RSA"},
		{"encrypted key", join(own, block("ENCRYPTED PRIVATE KEY", []byte("x"))), "", "openssl pkey"},
		{"PEM with a password", both, "x", "takes no password"},
		{"damaged key", join(own, block("PRIVATE KEY", []byte("x"))), "", "cannot be read"},
		{"damaged certificate", join(block("CERTIFICATE", []byte("x")), pkcs1), "", "cannot be read"},
		{"text", []byte("hello"), "", "neither PEM nor PKCS#12"},
		{"empty", nil, "", "neither PEM nor PKCS#12"},
	} {
		t.Run(c.name, func(t *testing.T) { checkFile(t, cert, c.content, c.password, c.says) })
	}
}

// checkFile signs in with a file, or expects to be told what is wrong with it.
func checkFile(t *testing.T, known *x509.Certificate, content []byte, password, says string) {
	t.Helper()
	p := newPlace(t)
	p.Register(known)
	p.write("file", content)
	cfg := Config{ClientID: authtest.Client, CertificateFile: p.file("file")}
	if password != "" {
		p.write("password", []byte(password+"\n"))
		cfg.CertificatePasswordFile = p.file("password")
	}
	_, err := p.source(cfg).Token(t.Context())
	if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), p.file("file"))) {
		t.Errorf("%v, want %q", err, says)
	}
}

// TestPKCS12 reads files of OpenSSL in its own form and in that of Windows.
func TestPKCS12(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl to make PKCS#12 files with")
	}
	key, cert := mustCertificate(t, time.Now().Add(time.Hour))
	in := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(in, authtest.PEM(key, cert), 0o600); err != nil {
		t.Fatal(err)
	}
	old := []string{"-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"}
	for _, c := range []struct {
		name, password, given string
		args                  []string
		says                  string
	}{
		{"today's", "pässword", "pässword", []string{"-keypbe", "AES-256-CBC", "-certpbe", "AES-256-CBC"}, ""},
		{"AES-128", "word", "word", []string{"-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC"}, ""},
		{"certificate in clear", "word", "word", []string{"-keypbe", "AES-256-CBC", "-certpbe", "NONE"}, ""},
		{"Windows'", "word", "word", old, ""},
		{"without a password", "", "", nil, ""},
		{"wrong password", "word", "sword", nil, "another password"},
		{"missing password", "word", "", nil, "another password"},
		{"wrong password, Windows'", "word", "sword", old, "be"},
		{"another cipher", "word", "word", []string{"-keypbe", "CAMELLIA-256-CBC", "-certpbe", "CAMELLIA-256-CBC"}, "AES-256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "file.pfx")
			made, err := exec.Command(openssl, append([]string{"pkcs12", "-export", "-in", in, "-out", out, "-passout", "pass:" + c.password}, c.args...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, made)
			}
			content, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			checkFile(t, cert, content, c.given, c.says)
		})
	}
}

func FuzzReadPFX(f *testing.F) {
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x03}, "x")
	f.Fuzz(func(t *testing.T, file []byte, password string) {
		if len(file) > 1<<12 {
			return
		}
		_, _, _ = readPFX(file, password)
	})
}

// TestExpiry: the end of the certificate is known, and told each day of the last thirty.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace(t)
		key, cert := mustCertificate(t, time.Now().Add(40*24*time.Hour))
		p.Register(cert)
		p.write("file", authtest.PEM(key, cert))
		s := p.source(Config{ClientID: authtest.Client, CertificateFile: p.file("file")})
		if !s.Standing().Expires.IsZero() {
			t.Error("the end is known before the file was read")
		}
		for day := range 39 {
			for range 48 {
				p.token(s)
				time.Sleep(30 * time.Minute)
			}
			st := s.Standing()
			if !st.Expires.Equal(cert.NotAfter) || (len(st.Notes) == 1) != (day >= 9) { // the 10th day is over
				t.Errorf("on day %d: %+v", day, st)
			}
			if want := max(0, day-9); len(p.warned) < want || len(p.warned) > want+1 {
				t.Errorf("on day %d there were %d warnings", day, len(p.warned))
			}
		}
		if last := p.warned[len(p.warned)-1]; !strings.Contains(last, cert.NotAfter.UTC().Format(time.DateOnly)+", in 2 days") {
			t.Errorf("the last warning is %q", last)
		}
		time.Sleep(3 * 24 * time.Hour)
		if _, err := s.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "has ended") || !strings.Contains(err.Error(), "thumbprint") {
			t.Errorf("after the end: %v", err)
		}
		// A new one ends the warnings.
		key, cert = mustCertificate(t, time.Now().Add(400*24*time.Hour))
		p.Register(cert)
		p.write("file", authtest.PEM(key, cert))
		p.token(s)
		if st := s.Standing(); !st.Expires.Equal(cert.NotAfter) || len(st.Notes) != 0 {
			t.Errorf("with a new one: %+v", st)
		}
	})
}
