// Package peer is the contract that every receiver in this module keeps towards the test that starts it: common flags,
// one ready line on stdout, a life bounded by SIGTERM or by the parent's pipe, certificates and records under one folder.
package peer

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
)

// Ready is the one line that a receiver prints on stdout once it accepts connections. Addresses are host:port, those of
// several brokers joined by commas; paths are absolute.
type Ready struct {
	Receiver   string `json:"receiver"`
	Version    string `json:"version"`
	PID        int    `json:"pid"`                   // the receiver's own: where this process only minds a child, the child's
	Address    string `json:"address"`               // speaks TLS when the receiver was started with a TLS flag
	TLSAddress string `json:"tls_address,omitempty"` // a second listener that speaks TLS
	UDPAddress string `json:"udp_address,omitempty"`
	// RELP (rsyslog's acknowledged protocol), without and with TLS.
	RELPAddress    string `json:"relp_address,omitempty"`
	RELPTLSAddress string `json:"relp_tls_address,omitempty"`
	CA             string `json:"ca,omitempty"`  // PEM file with the root that signed the server's certificate
	Out            string `json:"out,omitempty"` // NDJSON, one line an event; absent where kafkadump is the reader
}

// Status is the answer to -probe: whether the receiver can be started on this machine, and if not, why.
type Status struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Ready   bool     `json:"ready"`
	Why     string   `json:"why"`
	Command []string `json:"command"` // starts it when -dir DIR is appended
}

// Peer is one receiver as its main function describes it.
type Peer struct {
	// Probe fills Version, and Ready or Why. It starts nothing that outlives it.
	Probe func(*Status)
	// Serve runs until ctx is done and returns nil then. It calls Announce once.
	Serve func(ctx context.Context, o *Options) error
}

// Options are the flags that all receivers share.
type Options struct {
	Dir             string // absolute once Main has parsed the flags
	TLSCert, TLSKey string // PEM files
	TLS             bool   // make a CA and a server certificate in Dir

	stdin, probe bool
}

// Main registers the common flags, parses the command line and runs p until SIGTERM, SIGINT or, with -stdin, the end of
// standard input. It exits with 1 and a message on stderr when p fails, with 2 on wrong usage.
func Main(p Peer) {
	o := &Options{}
	flag.StringVar(&o.Dir, "dir", "", "folder for everything that the receiver writes (required)")
	flag.BoolVar(&o.stdin, "stdin", false, "stop at the end of standard input, so that the receiver never outlives its parent")
	flag.BoolVar(&o.probe, "probe", false, "print as JSON whether the receiver can run here, and exit")
	flag.BoolVar(&o.TLS, "tls", false, "speak TLS with a certificate for localhost and 127.0.0.1, signed by DIR/ca.pem")
	flag.StringVar(&o.TLSCert, "tls-cert", "", "PEM file: speak TLS with this certificate; needs -tls-key")
	flag.StringVar(&o.TLSKey, "tls-key", "", "PEM file")
	flag.Parse()
	if o.probe {
		printProbe(p)
		return
	}
	if o.Dir == "" || flag.NArg() > 0 || (o.TLSCert == "") != (o.TLSKey == "") {
		fmt.Fprintln(os.Stderr, "usage: give -dir, both or none of -tls-cert and -tls-key, and no arguments")
		flag.PrintDefaults()
		os.Exit(2)
	}
	if err := run(p, o); err != nil {
		fmt.Fprintln(os.Stderr, filepath.Base(os.Args[0])+":", err)
		os.Exit(1)
	}
}

func run(p Peer, o *Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if o.stdin {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("resolve -dir: %w", err)
	}
	o.Dir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create -dir: %w", err)
	}
	err = p.Serve(ctx, o)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // told to stop while still starting
	}
	return err
}

func printProbe(p Peer) {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	s := Status{Name: filepath.Base(self), Command: []string{self}}
	flag.Visit(func(f *flag.Flag) {
		if f.Name != "probe" {
			s.Command = append(s.Command, "-"+f.Name+"="+f.Value.String())
		}
	})
	p.Probe(&s)
	json.NewEncoder(os.Stdout).Encode(s)
}

// Announce prints the ready line.
func Announce(r Ready) error {
	if r.PID == 0 {
		r.PID = os.Getpid()
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return fmt.Errorf("print ready line: %w", err)
	}
	return nil
}

// ModuleVersion returns the version of a Go module that this binary was built with.
func ModuleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}
