//go:build linux

package e2e_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kube is the API server that all tests share; each works in namespaces of its own.
var kube *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	tools, err := toolsFolder()
	if err == nil {
		err = missing(tools)
	}
	if err != nil {
		// All of them come from the Go module proxy, without which nothing here would have been compiled.
		fmt.Printf("chart-e2e: skipped: %v\n", err)
		if os.Getenv("CI") == "true" {
			fmt.Println("chart-e2e: with CI=true that is a failure")
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "logferry-chart-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	begun := time.Now()
	if kube, err = startCluster(tools, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer kube.stop()
	ready := time.Since(begun)
	code := m.Run()
	fmt.Printf("chart-e2e: Kubernetes %s ready after %.0f s, all done after %.0f s\n", version(), ready.Seconds(), time.Since(begun).Seconds())
	return code
}

// version is what the API server says of itself.
func version() string {
	var v struct{ GitVersion string }
	r, err := kube.do(http.MethodGet, "/version", "", nil)
	if err != nil || json.Unmarshal(r.body, &v) != nil {
		return "of unknown version"
	}
	return v.GitVersion
}

// toolsFolder is where setup.sh puts what it makes.
func toolsFolder() (string, error) {
	base := os.Getenv("LOGFERRY_PEERS")
	if base == "" {
		base = os.Getenv("XDG_CACHE_HOME")
	}
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Abs(filepath.Join(base, "logferry-peers", "cluster"))
}

// missing tells what setup.sh has not made, and why.
func missing(tools string) error {
	var lacks []string
	for _, name := range []string{"etcd", "kubeapi", "helm", "crds"} {
		if _, err := os.Stat(filepath.Join(tools, name)); err == nil {
			continue
		}
		why, err := os.ReadFile(filepath.Join(tools, name+".why"))
		if err != nil {
			why = []byte("test/chart/e2e/setup.sh has not run")
		}
		lacks = append(lacks, name+": "+strings.TrimSpace(string(why)))
	}
	if lacks != nil {
		return fmt.Errorf("%s", strings.Join(lacks, "; "))
	}
	return nil
}
