package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// TestProbe: files and folders are looked at, none is made, and a writer beside is no obstacle.
func TestProbe(t *testing.T) {
	records := []event.Record{newEvent("t", "audits", "").Record, newEvent("t", "signins.interactive", "").Record}
	for _, tt := range []struct {
		name string
		path string
		make func(t *testing.T, dir string)
		says string // "": it is well
	}{
		{name: "new folders", path: "a/{family}/{stream}.ndjson"},
		{name: "a file that is written by others", path: "x", make: func(t *testing.T, dir string) {
			mustSend(t, newSink(t, Config{Path: filepath.Join(dir, "x")}), newEvent("t", "audits", "1"))
		}},
		{name: "a folder", path: "x", make: func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, says: "set path to the name of a file"},
		{name: "below a file", path: "x/{stream}", make: func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, says: "set path to the name of a file"},
		{name: "a folder without the right to write", path: "x/y", make: func(t *testing.T, dir string) {
			if os.Getuid() == 0 {
				t.Skip("root may write everywhere")
			}
			if err := os.Mkdir(filepath.Join(dir, "x"), 0o500); err != nil {
				t.Fatal(err)
			}
		}, says: "give the user that logferry runs as the right to write there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.make != nil {
				tt.make(t, dir)
			}
			before := tree(t, dir)
			err := newSink(t, Config{Path: filepath.Join(dir, tt.path)}).Probe(t.Context(), records)
			if (err == nil) != (tt.says == "") || err != nil && (fault.Of(err) != fault.Blocked || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("class %s: %v", fault.Of(err), err)
			}
			wantTree(t, dir, before)
			if _, err := os.Stat(filepath.Join(dir, "a")); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}
