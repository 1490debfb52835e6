//go:build linux

package image_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// inside carries what the test needs to know across into its other half, which runs in namespaces of its own.
const inside = "LOGFERRY_IMAGE_INSIDE"

// container is the image in a root file system.
type container struct {
	Root, State, Config string // folders
	Image               settings
	Rootless            bool
}

// TestStarted runs this test's other half as an engine would run the image: mounts and network of its own.
func TestStarted(t *testing.T) {
	if text := os.Getenv(inside); text != "" {
		var c container
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		c.test(t)
		return
	}
	image := built(t)[0]
	c := container{Root: image.unpack(t), State: t.TempDir(), Config: t.TempDir(), Image: image.settings(t), Rootless: os.Getuid() != 0}
	before := digest(t, c.Root)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestStarted$", "-test.v", "-test.timeout=2m")
	self.Env = append(os.Environ(), inside+"="+string(text))
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if c.Rootless {
		self.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		self.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		self.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := self.CombinedOutput()
	if self.ProcessState == nil {
		missing(t, "the machine allows no namespaces: "+err.Error())
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if after := digest(t, c.Root); after != before {
		t.Error("the root file system has changed")
	}
}

// digest sums up names, modes, times and contents below a folder.
func digest(t *testing.T, root string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, path, info.Mode(), info.ModTime(), info.Size())
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			sum.Write(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// mount lets everything in the root file system be read only, but for the volume.
func (c *container) mount(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	bind(t, c.Root, c.Root, true)
	bind(t, c.State, c.Root+"/var/lib/logferry", false)
	bind(t, c.Config, c.Root+"/etc/logferry", true)
	if err := os.WriteFile(c.Root+"/etc/x", nil, 0o600); err == nil {
		t.Fatal("the root file system can be written to")
	}
}

func bind(t *testing.T, from, to string, readOnly bool) {
	t.Helper()
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mount %s: %v", to, err)
	}
	if !readOnly {
		return
	}
	var now unix.Statfs_t
	if err := unix.Statfs(to, &now); err != nil {
		t.Fatal(err)
	}
	keep := uintptr(now.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC) // these must not be lost in a user namespace
	if err := unix.Mount("", to, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|keep, ""); err != nil {
		t.Fatalf("mount %s read-only: %v", to, err)
	}
}

// loopback is down in a new network.
func loopback(t *testing.T) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		t.Fatalf("bring loopback up: %v", err)
	}
}

// command is a process in the container, with the image's user, folder and environment and nothing of this one's.
func (c *container) command(args []string, env ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = c.Image.Config.WorkingDir, append(c.Image.Config.Env[:len(c.Image.Config.Env):len(c.Image.Config.Env)], env...)
	var uid, gid uint32
	fmt.Sscanf(c.Image.Config.User, "%d:%d", &uid, &gid)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.Root, Credential: &syscall.Credential{Uid: uid, Gid: gid}, Pdeathsig: syscall.SIGKILL}
	if c.Rootless {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: int(uid), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: int(gid), Size: 1}}
		cmd.SysProcAttr.Credential.NoSetGroups = true
	}
	return cmd
}

// says runs a command of the image to its end.
func (c *container) says(t *testing.T, code int, text string, args ...string) {
	t.Helper()
	cmd := c.command(append(c.Image.Config.Entrypoint[:1:1], args...))
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code || !strings.Contains(string(out), text) {
		t.Fatalf("%q: %v, want exit code %d and %q\n%s", args, cmd.ProcessState, code, text, out)
	}
}

const config = `
sources:
  - name: contoso
    entra:
      tenant: %s
      login_url: %[2]s
      graph_url: %[2]s
      auth: {client_id: %[3]s, client_secret_file: /etc/logferry/client-secret}
      poll: 1s
      budget: {requests: 50, per: 10s}
sinks:
  - name: archive
    file: {path: "./out/{stream}.ndjson"}
`

// test is the half in the container's namespaces.
func (c *container) test(t *testing.T) {
	loopback(t)
	graph, err := simulator.New(simulator.Options{Seed: 1, Generate: []simulator.Generate{{Stream: simulator.Audits, Rate: 5, Since: time.Now().Add(-time.Minute)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer graph.Close()
	l, err := graph.Listen("127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "logferry.yaml", fmt.Sprintf(config, simulator.DefaultDomain, l.URL, simulator.DefaultClientID))
	c.write(t, "client-secret", simulator.DefaultClientSecret)
	if err := os.Chown(c.State, 65532, 65532); err != nil && !c.Rootless {
		t.Fatal(err)
	}
	if err := os.Chmod(c.Config, 0o755); err != nil {
		t.Fatal(err)
	}
	roots, err := os.ReadFile(c.Root + "/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "roots.pem", string(roots)+string(l.CA))
	c.mount(t)

	check := c.Image.Config.Healthcheck.Test[2:]
	c.says(t, 0, "logferry "+version+" ", "version")
	c.says(t, 1, "connection refused", check...)
	c.says(t, 0, "", "demo", "--for", "2s")
	if left, err := os.ReadDir(c.State); err != nil || len(left) > 0 {
		t.Errorf("the demo has left %v in its folder: %v", left, err)
	}
	// A name that an authority in the image's file vouches for is trusted, and no other.
	c.says(t, 1, "certificate signed by unknown authority", "check", "-c", "/etc/logferry", "--connect")
	bind(t, c.Config+"/roots.pem", c.Root+"/etc/ssl/certs/ca-certificates.crt", true)
	c.says(t, 0, "", "check", "-c", "/etc/logferry", "--connect")
	c.run(t, check)
}

func (c *container) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.Config, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run starts what the image starts by itself, in a zone of its own, until records have arrived, and stops it.
func (c *container) run(t *testing.T, check []string) {
	var said strings.Builder
	p := c.command(append(c.Image.Config.Entrypoint, c.Image.Config.Cmd...), "TZ=Europe/Berlin")
	p.Stderr = &said
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !answers("http://127.0.0.1:9797/livez") || !c.arrived() {
		select {
		case err := <-ended:
			t.Fatalf("logferry has ended: %v\n%s", err, said.String())
		case <-deadline:
			p.Process.Kill()
			<-ended
			t.Fatalf("nothing has arrived\n%s", said.String())
		case <-tick.C:
		}
	}
	c.says(t, 0, "ok", check...)
	p.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Fatalf("after SIGTERM: %v\n%s", err, said.String())
	}
	c.says(t, 1, "connection refused", check...)
	inBerlin(t, said.String())
}

func answers(url string) bool {
	resp, err := http.Get(url)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// arrived tells whether the sink has written records, and the state is where the image has its volume.
func (c *container) arrived() bool {
	out, err := filepath.Glob(c.State + "/out/*.ndjson")
	if err != nil || len(out) == 0 {
		return false
	}
	info, err := os.Stat(out[0])
	_, none := os.Stat(c.State + "/state/state.db")
	return err == nil && info.Size() > 0 && none == nil
}

// inBerlin: the log's times are those of the zone that TZ names, though the image has no files of zones.
func inBerlin(t *testing.T, log string) {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("this machine knows no zones to compare with: " + err.Error())
	}
	first, _, _ := strings.Cut(log, "\n")
	var line struct{ TS time.Time }
	if err := json.Unmarshal([]byte(first), &line); err != nil {
		t.Fatalf("%v: %s", err, first)
	}
	_, want := line.TS.In(zone).Zone()
	if _, got := line.TS.Zone(); got != want || got == 0 {
		t.Errorf("the log's times are %d s from UTC, those of Berlin %d: %s", got, want, first)
	}
}
