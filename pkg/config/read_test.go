package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSumTellsFilesApart: by content, by name and by number, and not by time.
func TestSumTellsFilesApart(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[[32]byte]string{}
	look := func(what string) (again string) {
		t.Helper()
		texts, err := Read([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		sum := Sum(texts)
		again = seen[sum]
		seen[sum] = what
		return again
	}
	write("a.yaml", "sources: []\n")
	look("one file")
	for _, next := range [][2]string{{"a.yaml", "sources: [ ]\n"}, {"b.yml", ""}, {"b.yml", "x"}} {
		if write(next[0], next[1]); look(next[0]) != "" {
			t.Errorf("%q in %s is not seen", next[1], next[0])
		}
	}
	write("b.yml", "x")
	write("notes.txt", "no configuration")
	if look("nothing") == "" {
		t.Error("a file that says the same counts as another")
	}
	if cfg := Partly([]Text{{"c.yaml", []byte("state: {dir: /var/lib/logferry}\ncolour: red\n")}}); cfg.State.Dir != "/var/lib/logferry" {
		t.Errorf("with a fault state.dir is %q", cfg.State.Dir)
	}
}
