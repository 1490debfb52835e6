package image_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReproducible: two folders, two times, one image. The binary in it is the one of make build.
func TestReproducible(t *testing.T) {
	two := built(t)
	for i, layer := range two[0].Layers {
		if len(two[1].Layers) != len(two[0].Layers) || two[1].Layers[i] != layer {
			t.Errorf("layers %q and %q", two[0].Layers, two[1].Layers)
		}
		if sum := fmt.Sprintf("%x.tar", sha256.Sum256(two[0].files[layer])); sum != layer {
			t.Errorf("layer %s has the digest %s", layer, sum)
		}
	}
	if two[0].Config != two[1].Config {
		t.Errorf("two configurations:\n%s\n%s", two[0].files[two[0].Config], two[1].files[two[1].Config])
	}
	if !bytes.Equal(two[0].packed, two[1].packed) {
		t.Error("the files of the two images differ")
	}
	build := exec.Command("make", "-s", "build", "VERSION="+version)
	build.Dir = two[0].tree
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	binary, err := os.ReadFile(filepath.Join(two[0].tree, "bin", "logferry"))
	if err != nil {
		t.Fatal(err)
	}
	if inside := two[1].content(t)["logferry"]; !bytes.Equal(inside.content, binary) {
		t.Error("the binary in the image is not that of make build")
	}
}

type entry struct {
	*tar.Header
	content []byte
}

// content is the image's file system, by path without slashes at the ends.
func (a *archive) content(t *testing.T) map[string]entry {
	t.Helper()
	all := map[string]entry{}
	for _, layer := range a.Layers {
		err := walk(a.files[layer], func(h *tar.Header, content []byte) error {
			all[strings.Trim(h.Name, "/")] = entry{h, content}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestContent: nothing but what is needed, of one time, owned by root and, but for the volume, writable for nobody else.
func TestContent(t *testing.T) {
	const state = "var/lib/logferry"
	image := built(t)[0].content(t)
	want := []string{
		"etc", "etc/logferry", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt",
		"licenses", "licenses/LICENSE", "licenses/THIRD_PARTY_NOTICES", "licenses/ca-certificates", "logferry", "var", "var/lib", state,
	}
	got := slices.Sorted(maps.Keys(image))
	if _, err := os.Stat("/usr/share/doc/ca-certificates/copyright"); err != nil { // a machine without documentation
		want = slices.DeleteFunc(want, func(name string) bool { return name == "licenses/ca-certificates" })
	}
	if !slices.Equal(got, want) {
		t.Errorf("files %q,\nwant %q", got, want)
	}
	for name, e := range image {
		mode := int64(0o644)
		switch {
		case name == state:
			mode = 0o1777
		case e.Typeflag == tar.TypeDir, name == "logferry":
			mode = 0o755
		}
		if e.Uid != 0 || e.Gid != 0 || e.Mode&0o7777 != mode || !e.ModTime.Equal(time.Unix(epoch, 0)) {
			t.Errorf("%s: %d:%d %o %s, want 0:0 %o", name, e.Uid, e.Gid, e.Mode, e.ModTime, mode)
		}
	}
	if text := image["licenses/THIRD_PARTY_NOTICES"].content; !bytes.Contains(text, []byte("\ngo.uber.org/zap v")) {
		t.Error("the notices do not name zap")
	}
}

func TestSettings(t *testing.T) {
	s := built(t)[0].settings(t)
	c := s.Config
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"user", c.User, "65532:65532"},
		{"folder", c.WorkingDir, "/var/lib/logferry"},
		{"command", fmt.Sprint(c.Entrypoint, c.Cmd), "[/logferry] [run -c /etc/logferry]"},
		{"health check", fmt.Sprint(c.Healthcheck.Test, c.Healthcheck.Interval, c.Healthcheck.Timeout), "[CMD /logferry health] 30s 2s"},
		{"volumes", fmt.Sprint(slices.Collect(maps.Keys(c.Volumes))), "[/var/lib/logferry]"},
		{"made at", s.Created.Unix(), int64(epoch)},
		{"label of the version", c.Labels["org.opencontainers.image.version"], version},
		{"label of the commit", c.Labels["org.opencontainers.image.revision"], "0123456789"},
		{"label of the licence", c.Labels["org.opencontainers.image.licenses"], "Apache-2.0"},
	} {
		if x.got != x.want {
			t.Errorf("%s: %v, want %v", x.what, x.got, x.want)
		}
	}
}

// TestRoots: the image trusts whom Debian's package of Mozilla's authorities trusts, and nobody whom this machine's owner added.
func TestRoots(t *testing.T) {
	rest := built(t)[0].content(t)["etc/ssl/certs/ca-certificates.crt"].content
	var pool []*x509.Certificate
	for block, more := pem.Decode(rest); block != nil; block, more = pem.Decode(more) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.IsCA {
			t.Errorf("%s is no authority", cert.Subject)
		}
		pool = append(pool, cert)
	}
	mozilla, err := filepath.Glob("/usr/share/ca-certificates/mozilla/*.crt")
	if err != nil || len(pool) < 100 || len(mozilla) > 0 && len(pool) != len(mozilla) {
		t.Errorf("%d authorities, the package has %d", len(pool), len(mozilla))
	}
	// Those that the names of the clouds lead to: login.microsoftonline.com, graph.microsoft.com and their like.
	for _, name := range []string{"DigiCert Global Root G2", "Microsoft RSA Root Certificate Authority 2017"} {
		if !slices.ContainsFunc(pool, func(c *x509.Certificate) bool { return c.Subject.CommonName == name }) {
			t.Errorf("%s is not there", name)
		}
	}
}
