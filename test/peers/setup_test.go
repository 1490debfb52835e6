package peers_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

// TestSetupOnABareMachine runs setup.sh where neither go nor java nor apt-get are found: it must end well and say for
// every receiver why it is not there.
func TestSetupOnABareMachine(t *testing.T) {
	tools := t.TempDir()
	for _, name := range []string{"bash", "dirname", "mkdir", "cat", "mv", "rm", "timeout"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	base := t.TempDir()
	setup := exec.Command("bash", "setup.sh")
	setup.Env = []string{"PATH=" + tools, "LOGFERRY_PEERS=" + base, "CI=true"}
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("setup.sh: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(base, "logferry-peers", "peers.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []peer.Status
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatalf("decode peers.json: %v\n%s", err, b)
	}
	if len(all) != 5 {
		t.Errorf("peers.json has %d entries, want 5", len(all))
	}
	for _, s := range all {
		if s.Name == "" || s.Ready || s.Why != "go is not installed" {
			t.Errorf("entry %+v, want one that says that go is not installed", s)
		}
	}
}
