package simulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listener is a Server on a socket.
type Listener struct {
	URL  string // http://127.0.0.1:port or https://
	CA   []byte // PEM of the certificate to trust; nil without TLS
	http *http.Server
	done chan struct{}
}

// Listen serves on a TCP address, as 127.0.0.1:0, with TLS under a certificate made for it if asked.
func (s *Server) Listen(addr string, withTLS bool) (*Listener, error) {
	socket, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for Graph requests: %w", err)
	}
	l := &Listener{URL: "http://" + socket.Addr().String(), http: newHTTPServer(s), done: make(chan struct{})}
	if withTLS {
		cert, ca, err := makeCertificate(socket.Addr())
		if err != nil {
			socket.Close()
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		l.URL, l.CA = "https://"+socket.Addr().String(), ca
		l.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	go func() {
		defer close(l.done)
		if withTLS {
			l.http.ServeTLS(socket, "", "")
			return
		}
		l.http.Serve(socket)
	}()
	return l, nil
}

// Close ends the listener and its connections.
func (l *Listener) Close() error {
	err := l.http.Close()
	<-l.done
	return err
}

func newHTTPServer(s *Server) *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that leave, and broken handshakes, are what tests are about
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if c, ok := conn.(*memoryConn); ok && c.https {
				return context.WithValue(ctx, httpsKey{}, true)
			}
			return ctx
		},
	}
}

// httpsKey marks requests that came over an in-memory connection for an https address.
type httpsKey struct{}

func baseURL(r *http.Request) string {
	if r.TLS != nil || r.Context().Value(httpsKey{}) != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func makeCertificate(addr net.Addr) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	now := time.Now() // the TLS library's clock, not the service's
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "logferry simulator"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(365 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if tcp, ok := addr.(*net.TCPAddr); ok {
		template.IPAddresses = append(template.IPAddresses, tcp.IP)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// memoryServer serves connections that never leave the process.
type memoryServer struct {
	conns      chan net.Conn
	closed     chan struct{}
	once       sync.Once
	http       *http.Server
	transports []*http.Transport
	done       chan struct{}
}

type memoryConn struct {
	net.Conn
	https bool
}

// Accept, Close and Addr make memoryServer a net.Listener.
func (m *memoryServer) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memoryServer) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

func (m *memoryServer) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (m *memoryServer) dial(ctx context.Context, https bool) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.conns <- &memoryConn{server, https}:
		return client, nil
	case <-m.closed:
		return nil, errors.New("dial simulator: it is closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Client returns a client whose every request, whatever its host and scheme, reaches the server over an in-memory connection: no sockets, so that it
// works in a synctest bubble. https addresses need no certificate. Close ends its goroutines.
func (s *Server) Client() *http.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory == nil {
		m := &memoryServer{conns: make(chan net.Conn), closed: make(chan struct{}), http: newHTTPServer(s), done: make(chan struct{})}
		s.memory = m
		go func() {
			defer close(m.done)
			m.http.Serve(m)
		}()
	}
	m := s.memory
	t := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return m.dial(ctx, false) },
		DialTLSContext:      func(ctx context.Context, _, _ string) (net.Conn, error) { return m.dial(ctx, true) },
		MaxIdleConnsPerHost: 8,
		DisableCompression:  true,
	}
	m.transports = append(m.transports, t)
	return &http.Client{Transport: t}
}

// Close ends the connections of all clients from Client. Listeners have a Close of their own.
func (s *Server) Close() error {
	s.mu.Lock()
	m := s.memory
	s.memory = nil
	s.mu.Unlock()
	if m == nil {
		return nil
	}
	err := m.http.Close()
	m.Close()
	<-m.done
	for _, t := range m.transports {
		t.CloseIdleConnections()
	}
	return err
}
