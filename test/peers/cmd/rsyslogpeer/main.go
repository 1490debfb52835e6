// Command rsyslogpeer writes a configuration and certificates to DIR and runs rsyslogd there in the foreground, with
// listeners for plain TCP, TLS, UDP and, where
// rsyslog-relp is installed, RELP. What rsyslog parsed is in DIR/syslog.ndjson.
package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

//go:embed rsyslog.conf.tmpl
var conf string

var (
	port        = flag.Int("port", 0, "TCP port on 127.0.0.1; 0 chooses a free one")
	tlsPort     = flag.Int("tls-port", 0, "TLS port on 127.0.0.1; 0 chooses a free one")
	udpPort     = flag.Int("udp-port", 0, "UDP port on 127.0.0.1; 0 chooses a free one")
	relpPort    = flag.Int("relp-port", 0, "RELP port on 127.0.0.1; 0 chooses a free one")
	relpTLSPort = flag.Int("relp-tls-port", 0, "RELP over TLS port on 127.0.0.1; 0 chooses a free one")
	maxSize     = flag.String("max-message", "64k", "rsyslog's maxMessageSize; its own default is 8k")
)

func main() { peer.Main(peer.Peer{Probe: probe, Serve: serve}) }

func probe(s *peer.Status) {
	path, err := find()
	if err != nil {
		s.Why = err.Error()
		return
	}
	out, err := exec.Command(path, "-v").Output()
	if err != nil {
		s.Why = fmt.Sprintf("run rsyslogd -v: %v", err)
		return
	}
	s.Version = version(out)
	dir, err := os.MkdirTemp("", "rsyslogpeer-")
	if err != nil {
		s.Why = err.Error()
		return
	}
	defer os.RemoveAll(dir)
	if err := choosePorts(); err != nil { // so that RELP is checked as well
		s.Why = err.Error()
		return
	}
	// The plugins' folder differs between distributions: rsyslog itself knows whether it can load what we need.
	if err := configure(dir); err != nil {
		s.Why = err.Error()
		return
	}
	out, err = exec.Command(path, "-N1", "-f", filepath.Join(dir, "rsyslog.conf")).CombinedOutput()
	if err != nil {
		s.Why = fmt.Sprintf("rsyslogd refuses the configuration: %s", bytes.TrimSpace(out))
		return
	}
	if !hasPlugin("lmnsd_ossl") { // loaded with the first connection only, so the check above passes without it
		s.Why = "the OpenSSL driver is missing: apt-get install rsyslog-openssl"
		return
	}
	s.Ready = true
}

// find looks in sbin too, which is on the PATH of root only.
func find() (string, error) {
	for _, name := range []string{"rsyslogd", "/usr/sbin/rsyslogd", "/usr/local/sbin/rsyslogd"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("rsyslogd is not installed: apt-get install rsyslog rsyslog-openssl")
}

// hasPlugin looks for a shared object in the folders where distributions put them.
func hasPlugin(name string) bool {
	for _, dir := range []string{"/usr/lib/*/rsyslog", "/usr/lib64/rsyslog", "/usr/lib/rsyslog", "/usr/local/lib/rsyslog"} {
		if found, _ := filepath.Glob(filepath.Join(dir, name+".so")); len(found) > 0 {
			return true
		}
	}
	return false
}

// version takes "8.2302.0" out of "rsyslogd  8.2302.0 (aka 2023.02) compiled with: ...".
func version(out []byte) string {
	fields := bytes.Fields(out)
	if len(fields) < 2 {
		return "unknown"
	}
	return string(fields[1])
}

func configure(dir string) error {
	cert, err := peer.MakeCertificate(dir)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	err = template.Must(template.New("conf").Parse(conf)).Execute(&buf, map[string]any{
		"Dir": dir, "Cert": cert, "Port": *port, "TLSPort": *tlsPort, "UDPPort": *udpPort, "MaxSize": *maxSize,
		"RELPPort": *relpPort, "RELPTLSPort": *relpTLSPort,
	})
	if err != nil {
		return fmt.Errorf("write rsyslog.conf: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "spool"), 0o755); err != nil {
		return fmt.Errorf("make spool folder: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "rsyslog.conf"), buf.Bytes(), 0o644)
}

func serve(ctx context.Context, o *peer.Options) error {
	rsyslogd, err := find()
	if err != nil {
		return err
	}
	if err := choosePorts(); err != nil {
		return err
	}
	if err := configure(o.Dir); err != nil {
		return err
	}
	pidFile := filepath.Join(o.Dir, "rsyslogd.pid")
	os.Remove(pidFile) // left over when rsyslogd was killed, it would keep this one from starting
	child, err := peer.StartChild(ctx, filepath.Join(o.Dir, "rsyslogd.log"), rsyslogd, "-n",
		"-f", filepath.Join(o.Dir, "rsyslog.conf"), "-i", pidFile)
	if err != nil {
		return err
	}
	ready := peer.Ready{
		Receiver: "rsyslog", PID: child.PID, CA: filepath.Join(o.Dir, "ca.pem"), Out: filepath.Join(o.Dir, "syslog.ndjson"),
		Address: peer.Loopback(*port), TLSAddress: peer.Loopback(*tlsPort), UDPAddress: peer.Loopback(*udpPort),
	}
	silent := []string{ready.Address, ready.TLSAddress}
	if *relpPort != 0 {
		ready.RELPAddress, ready.RELPTLSAddress = peer.Loopback(*relpPort), peer.Loopback(*relpTLSPort)
		silent = append(silent, ready.RELPAddress, ready.RELPTLSAddress)
	}
	err = child.Await(ctx, 10*time.Second, func() error {
		for len(silent) > 0 { // each is asked until it answers once: a TLS listener logs our hanging up as an error
			conn, err := net.Dial("tcp", silent[0])
			if err != nil {
				return err
			}
			conn.Close()
			silent = silent[1:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if out, err := exec.Command(rsyslogd, "-v").Output(); err == nil {
		ready.Version = version(out)
	}
	if err := peer.Announce(ready); err != nil {
		return err
	}
	return <-child.Done
}

// choosePorts replaces the zeros: rsyslog cannot tell for all of its inputs which port it got.
func choosePorts() error {
	if *udpPort == 0 {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find free UDP port: %w", err)
		}
		defer conn.Close()
		*udpPort = conn.LocalAddr().(*net.UDPAddr).Port
	}
	free, err := peer.FreePorts(4)
	if err != nil {
		return err
	}
	*port, *tlsPort = cmp.Or(*port, free[2]), cmp.Or(*tlsPort, free[3])
	if !hasPlugin("imrelp") {
		*relpPort, *relpTLSPort = 0, 0 // leaves RELP out
		return nil
	}
	*relpPort, *relpTLSPort = cmp.Or(*relpPort, free[0]), cmp.Or(*relpTLSPort, free[1])
	return nil
}
