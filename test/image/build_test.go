// Package image_test builds the container image as build.sh does where no engine runs, twice, and starts it in its own root file
// system: read-only, as the image's user, with a network of its own.
package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	version = "v1.2.3-test"
	epoch   = 1700000000
)

// archive is what build.sh writes: an image as `docker save` does it.
type archive struct {
	tree   string // the sources that it was built from
	packed []byte
	Config string   // names of files in it, as manifest.json has them
	Layers []string //
	files  map[string][]byte
}

// settings are the parts of the image's configuration that count.
type settings struct {
	Created time.Time
	Config  struct {
		User, WorkingDir     string
		Env, Entrypoint, Cmd []string
		Volumes, Labels      map[string]any
		Healthcheck          struct {
			Test              []string
			Interval, Timeout time.Duration
		}
	}
}

var builds struct {
	once sync.Once
	dir  string
	pair [2]*archive
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if builds.dir != "" {
		os.RemoveAll(builds.dir)
	}
	os.Exit(code)
}

// built gives two images of the same sources: from two folders, one after the other, the second with other habits of the user.
func built(t *testing.T) [2]*archive {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		missing(t, "buildah is not installed: test/image/setup.sh does that as root on Debian")
	}
	builds.once.Do(func() {
		if builds.dir, builds.err = os.MkdirTemp("", "logferry-image-"); builds.err != nil {
			return
		}
		for i, umask := range []string{"022", "077"} {
			if builds.pair[i], builds.err = build(filepath.Join(builds.dir, fmt.Sprintf("tree-%d", i)), umask); builds.err != nil {
				return
			}
		}
	})
	if builds.err != nil {
		t.Fatal(builds.err)
	}
	return builds.pair
}

// missing skips the test, or fails it where the machine ought to have what it needs.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// build copies the sources to tree and runs build.sh there.
func build(tree, umask string) (*archive, error) {
	script := `umask ` + umask + `; mkdir "$1"; cp -r Makefile .dockerignore Dockerfile LICENSE go.mod go.sum cmd pkg deploy "$1"
		exec "$1/deploy/image/build.sh" "$1/image.tar"`
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script, "-", tree)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "BUILDER=buildah", "VERSION="+version, "REVISION=0123456789", fmt.Sprint("SOURCE_DATE_EPOCH=", epoch))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build image: %w\n%s", err, out)
	}
	a, err := unpacked(filepath.Join(tree, "image.tar"))
	if err == nil {
		a.tree = tree
	}
	return a, err
}

// unpacked reads the file of an image.
func unpacked(path string) (*archive, error) {
	packed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	a := &archive{packed: packed, files: map[string][]byte{}}
	err = walk(packed, func(h *tar.Header, content []byte) error {
		a.files[strings.TrimPrefix(h.Name, "./")] = content
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	var manifest []archive
	if err := json.Unmarshal(a.files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		return nil, fmt.Errorf("read manifest.json: %w\n%s", err, a.files["manifest.json"])
	}
	a.Config, a.Layers = manifest[0].Config, manifest[0].Layers
	return a, nil
}

func (a *archive) settings(t *testing.T) (s settings) {
	t.Helper()
	if err := json.Unmarshal(a.files[a.Config], &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// walk calls visit for each entry of a tar file.
func walk(packed []byte, visit func(h *tar.Header, content []byte) error) error {
	for r := tar.NewReader(bytes.NewReader(packed)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := visit(h, content); err != nil {
			return err
		}
	}
}

// unpack puts the layers into a folder, as an engine does. Without root all files are the caller's, who then is root in there.
func (a *archive) unpack(t *testing.T) (root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "root")
	for _, layer := range a.Layers {
		err := walk(a.files[layer], func(h *tar.Header, content []byte) error {
			path, mode := filepath.Join(root, h.Name), h.FileInfo().Mode()
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if h.Typeflag == tar.TypeDir {
				if err := os.MkdirAll(path, 0o755); err != nil {
					return err
				}
			} else if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
			if os.Getuid() == 0 {
				if err := os.Chown(path, h.Uid, h.Gid); err != nil {
					return err
				}
			}
			return os.Chmod(path, mode)
		})
		if err != nil {
			t.Fatalf("unpack %s: %v", layer, err)
		}
	}
	return root
}
