package image_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDockerfile builds the whole Dockerfile, the first stage included, and wants the layers that build.sh makes without it. The
// image of Go, which only a registry has, is stood in for by one that borrows this machine's Go, tools and module cache.
func TestDockerfile(t *testing.T) {
	short := built(t)[0]
	if os.Getuid() != 0 {
		t.Skip("not root: the stand-in for the image of Go needs mounts")
	}
	if to, err := os.Readlink("/bin"); err != nil || to != "usr/bin" {
		t.Skip("/bin is no link to usr/bin here, which the stand-in for the image of Go needs")
	}
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	for _, name := range []string{"usr", "tmp"} {
		if err := os.MkdirAll(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(base, name)); err != nil {
			t.Fatal(err)
		}
	}
	standIn := "FROM scratch\nCOPY . /\nENV PATH=/go/sdk/bin:/usr/bin GOROOT=/go/sdk GOMODCACHE=/go/mod GOCACHE=/go/cache GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=mod\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(standIn), 0o600); err != nil {
		t.Fatal(err)
	}
	buildah := func(args ...string) {
		t.Helper()
		store := []string{"--storage-driver", "vfs", "--root", filepath.Join(dir, "store"), "--runroot", filepath.Join(dir, "run")}
		if out, err := exec.Command("buildah", append(store, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("buildah %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// The build stage downloads all modules, those too that this system's binary does not need; in there is no network.
	download := exec.Command("go", "mod", "download")
	download.Dir = short.tree
	if out, err := download.CombinedOutput(); err != nil {
		t.Fatalf("go mod download: %v\n%s", err, out)
	}
	buildah("build", "--isolation", "chroot", "-f", filepath.Join(dir, "Dockerfile"), "-t", "docker.io/library/golang:stand-in", base)
	buildah("build", "--isolation", "chroot", "--format", "docker", "--pull=never", "--timestamp", fmt.Sprint(epoch), "-t", "whole",
		"-v", "/usr:/usr:ro", "-v", goEnv(t, "GOROOT")+":/go/sdk:ro", "-v", goEnv(t, "GOMODCACHE")+":/go/mod", "-v", goEnv(t, "GOCACHE")+":/go/cache",
		"--build-arg", "GO=stand-in", "--build-arg", "VERSION="+version, "--build-arg", "REVISION=0123456789", "--build-arg", fmt.Sprint("SOURCE_DATE_EPOCH=", epoch),
		short.tree)
	buildah("push", "whole", "docker-archive:"+filepath.Join(dir, "whole.tar"))
	whole, err := unpacked(filepath.Join(dir, "whole.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(whole.Layers, short.Layers) {
		t.Errorf("the Dockerfile makes the layers %q, build.sh alone %q", whole.Layers, short.Layers)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
