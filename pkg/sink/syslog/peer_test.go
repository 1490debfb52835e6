package syslog

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/sink/sinktest"
)

// peer is a syslog receiver on loopback. serve handles each of its connections; the default stores every message.
type peer struct {
	ln    net.Listener
	serve func(p *peer, c net.Conn)

	mu    sync.Mutex
	got   []message
	conns map[net.Conn]bool
	total int // connections so far
	mode  sinktest.Mode
	wg    sync.WaitGroup
}

func newPeer(t testing.TB, serve func(*peer, net.Conn)) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{ln: ln, serve: serve, conns: map[net.Conn]bool{}}
	if serve == nil {
		p.serve = (*peer).store
	}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		ln.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *peer) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns[c] = true
		p.total++
		p.mu.Unlock()
		p.wg.Go(func() {
			p.serve(p, c)
			c.Close()
			p.mu.Lock()
			delete(p.conns, c)
			p.mu.Unlock()
		})
	}
}

// store keeps every message until the connection ends.
func (p *peer) store(c net.Conn) {
	r := bufio.NewReader(c)
	for p.storeOne(r) {
	}
}

func (p *peer) storeOne(r *bufio.Reader) bool {
	s, err := readFrame(r)
	if err != nil {
		return false
	}
	m, err := parse(s)
	if err != nil {
		panic("the sink has sent " + s + ": " + err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, m)
	return true
}

// cut resets all connections.
func (p *peer) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

func (p *peer) messages() []message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]message(nil), p.got...)
}

// await waits until the peer has read n messages: Send returns when its TCP has them.
func (p *peer) await(t testing.TB, n int) []message {
	t.Helper()
	var got []message
	until(t, func() bool {
		got = p.messages()
		return len(got) >= n
	}, "the peer has read all messages")
	return got
}

func until(t testing.TB, done func() bool, what string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited 10 s for: %s", what)
		}
	}
}

func newSink(t testing.TB, p *peer, edit func(*Config), opts Options) *Sink {
	t.Helper()
	cfg := Config{Address: "tcp://" + p.ln.Addr().String()}
	if edit != nil {
		edit(&cfg)
	}
	s, err := New(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// authority issues certificates into files of a temporary folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true}
	a.cert, a.key, _ = a.issue(t, "ca", tmpl)
	return a
}

func (a *authority) issue(t testing.TB, name string, tmpl *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	if tmpl.NotAfter.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := tmpl, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(ext, kind string, b []byte) {
		if err := os.WriteFile(a.file(name+ext), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(".pem", "CERTIFICATE", der)
	write(".key", "PRIVATE KEY", pkcs8)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// server is the configuration of a receiver whose certificate is for 127.0.0.1.
func (a *authority) server(t testing.TB) *tls.Config {
	_, _, cert := a.issue(t, "server", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool}
}

// storeTLS serves TLS.
func storeTLS(cfg *tls.Config) func(*peer, net.Conn) {
	return func(p *peer, c net.Conn) {
		tc := tls.Server(c, cfg)
		defer tc.Close()
		if tc.HandshakeContext(context.Background()) == nil {
			p.store(tc)
		}
	}
}
