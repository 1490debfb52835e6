//go:build linux

// Package e2e_test installs the Helm chart into a real Kubernetes API server and checks what that says: etcd and kube-apiserver, no
// controllers and no kubelet, so pods are judged as they would be and never start.
package e2e_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait; only a failing test uses it up.
const patience = 3 * time.Minute

// cluster is the API server with its store.
type cluster struct {
	tools      string // the cache folder that setup.sh fills
	dir        string // of everything that it writes
	url        string
	kubeconfig string
	client     *http.Client
	stops      []func()
	mu         sync.Mutex
	resources  map[string][]resource // by apiVersion
}

const token = "chart-e2e"

// child starts a server whose output goes to dir/NAME.log. It dies with this process, and at stop, with its whole group.
func (c *cluster) child(name string, args ...string) (ended <-chan struct{}, err error) {
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(c.tools, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started, done := make(chan error), make(chan struct{})
	go func() {
		// The kernel sends the death signal when the thread that started the child ends, so that thread must stay.
		runtime.LockOSThread()
		defer close(done)
		defer log.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.stops = append(c.stops, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
	})
	return done, nil
}

func (c *cluster) stop() {
	for _, stop := range c.stops {
		stop()
	}
	c.stops = nil
}

// freePorts gives ports of loopback that nobody has now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are chosen, or two would be the same
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// startCluster starts both and waits until the API server is ready. A port may be taken by somebody else between its choice and
// its use, so it tries again.
func startCluster(tools, dir string) (c *cluster, err error) {
	for i := range 3 {
		c = &cluster{tools: tools, dir: filepath.Join(dir, fmt.Sprint(i)), resources: map[string][]resource{}}
		if err = c.start(); err == nil {
			return c, nil
		}
		c.stop()
		for _, name := range []string{"etcd", "kubeapi"} {
			said, _ := os.ReadFile(filepath.Join(c.dir, name+".log"))
			err = fmt.Errorf("%w\n--- %s:\n%s", err, name, said[max(0, len(said)-4000):])
		}
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, err
}

func (c *cluster) start() error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	store := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	c.url = fmt.Sprintf("https://127.0.0.1:%d", ports[2])
	if err := c.writeKeys(); err != nil {
		return err
	}
	etcdEnded, err := c.child("etcd", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+store, "--advertise-client-urls="+store, fmt.Sprintf("--listen-peer-urls=http://127.0.0.1:%d", ports[1]))
	if err != nil {
		return err
	}
	apiEnded, err := c.child("kubeapi", "--etcd-servers="+store, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
		"--cert-dir=certs", "--authorization-mode=RBAC", "--token-auth-file=tokens.csv", "--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-signing-key-file=sa.key", "--service-account-key-file=sa.key")
	if err != nil {
		return err
	}
	return c.await(etcdEnded, apiEnded)
}

// writeKeys writes the one user's token, a superuser's, and the key that signs the tokens of service accounts.
func (c *cluster) writeKeys() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	c.kubeconfig = filepath.Join(c.dir, "kubeconfig")
	return errors.Join(
		os.WriteFile(filepath.Join(c.dir, "sa.key"), block, 0o600),
		os.WriteFile(filepath.Join(c.dir, "tokens.csv"), []byte(token+",admin,1,\"system:masters\"\n"), 0o600),
		os.WriteFile(c.kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
users: [{name: test, user: {token: %s}}]
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
`, token, c.url, filepath.Join(c.dir, "certs", "apiserver.crt")), 0o600))
}

// await waits for /readyz.
func (c *cluster) await(etcdEnded, apiEnded <-chan struct{}) error {
	tick, deadline := time.NewTicker(100*time.Millisecond), time.After(patience)
	defer tick.Stop()
	said := "it does not answer"
	for {
		select {
		case <-etcdEnded:
			return errors.New("etcd has ended by itself")
		case <-apiEnded:
			return errors.New("the API server has ended by itself")
		case <-deadline:
			return fmt.Errorf("the API server is not ready after %s: %s", patience, said)
		case <-tick.C:
		}
		if c.client == nil {
			// The server signs its own certificate.
			pool := x509.NewCertPool()
			if ca, err := os.ReadFile(filepath.Join(c.dir, "certs", "apiserver.crt")); err == nil && pool.AppendCertsFromPEM(ca) {
				c.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
			}
			continue
		}
		r, err := c.do(http.MethodGet, "/readyz", "", nil)
		if err == nil && r.status == http.StatusOK {
			return nil
		}
		said = fmt.Sprint(string(r.body), err)
	}
}

// reply is what the API server answered.
type reply struct {
	status   int
	warnings []string
	body     []byte
}

// message is the reason of a refusal.
func (r reply) message() string {
	var s struct{ Message string }
	if json.Unmarshal(r.body, &s) != nil || s.Message == "" {
		return string(r.body)
	}
	return s.Message
}

func (c *cluster) do(method, path, contentType string, body []byte) (r reply, err error) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return r, err
	}
	defer res.Body.Close()
	r.status, r.warnings = res.StatusCode, res.Header.Values("Warning")
	r.body, err = io.ReadAll(res.Body)
	return r, err
}
