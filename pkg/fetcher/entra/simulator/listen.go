package simulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
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
	}
}

func baseURL(r *http.Request) string {
	if r.TLS != nil {
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
