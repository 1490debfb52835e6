// Command opensearchpeer runs OpenSearch as one node without security, from a folder of jars (opensearch/pom.xml says which).
// What it has stored is read with _search.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/logferry/logferry/test/peers/internal/peer"
)

// minJava is what runs a class from its source beside this OpenSearch.
const minJava = 17

var (
	jars = flag.String("jars", "", "folder with OpenSearch's jars (required)")
	port = flag.Int("port", 0, "port on 127.0.0.1; 0 chooses a free one")
)

//go:embed opensearch.yml.tmpl
var settings string

//go:embed log4j2.properties
var log4j2 []byte

//go:embed Launch.java
var launcher []byte

func main() { peer.Main(peer.Peer{Probe: probe, Serve: serve}) }

func probe(s *peer.Status) {
	var err error
	if s.Version, err = version(); err == nil {
		err = checkJava()
	}
	if err != nil {
		s.Why = err.Error()
		return
	}
	s.Ready = true
}

func version() (string, error) {
	found, _ := filepath.Glob(filepath.Join(*jars, "opensearch-[0-9]*.jar"))
	if *jars == "" || len(found) == 0 {
		return "", fmt.Errorf("no OpenSearch jars in %q: run setup.sh on a machine with java and mvn, or give -jars", *jars)
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "opensearch-"), ".jar"), nil
}

// checkJava wants a JDK: the launcher is compiled when it starts.
func checkJava() error {
	out, err := exec.Command("java", "-XshowSettings:properties", "--list-modules").CombinedOutput()
	if err != nil {
		return fmt.Errorf("run java, which OpenSearch needs: %w", err)
	}
	_, after, _ := strings.Cut(string(out), "java.specification.version = ")
	field, _, _ := strings.Cut(after, "\n")
	if major, err := strconv.Atoi(strings.TrimSpace(field)); err != nil || major < minJava {
		return fmt.Errorf("java is version %q, the launcher needs %d or later", strings.TrimSpace(field), minJava)
	}
	if !strings.Contains(string(out), "jdk.compiler@") {
		return errors.New("java has no compiler, which the launcher needs: install a JDK, not only its runtime")
	}
	return nil
}

func serve(ctx context.Context, o *peer.Options) error {
	number, err := version()
	if err != nil {
		return err
	}
	if o.TLS || o.TLSCert != "" {
		return errors.New("opensearchpeer speaks no TLS: the security plugin is not on board")
	}
	free, err := peer.FreePorts(2)
	if err != nil {
		return err
	}
	if *port != 0 {
		free[0] = *port
	}
	if err := configure(o.Dir, free[0], free[1]); err != nil {
		return err
	}
	child, err := peer.StartChild(ctx, filepath.Join(o.Dir, "opensearch.log"),
		"java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // starts fast; throughput is not what is tested
		"-Dlog4j2.disable.jmx=true", "-Dlog4j2.configurationFile="+filepath.Join(o.Dir, "config", "log4j2.properties"),
		"-Djava.io.tmpdir="+filepath.Join(o.Dir, "tmp"),
		"-cp", filepath.Join(*jars, "*"), filepath.Join(o.Dir, "Launch.java"), o.Dir)
	if err != nil {
		return err
	}
	address := peer.Loopback(free[0])
	if err := child.Await(ctx, time.Minute, func() error { return answers(ctx, address) }); err != nil {
		return err
	}
	if err := peer.Announce(peer.Ready{Receiver: "opensearch", Version: number, PID: child.PID, Address: address}); err != nil {
		return err
	}
	return <-child.Done
}

// configure writes what the node reads. Its data is in DIR/data, that of an earlier start is kept.
func configure(dir string, http, transport int) error {
	var buf bytes.Buffer
	err := template.Must(template.New("settings").Parse(settings)).Execute(&buf, map[string]int{"HTTP": http, "Transport": transport})
	for _, name := range []string{"config", "modules", "plugins", "tmp"} { // what is not there is an error to OpenSearch
		err = errors.Join(err, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	for name, text := range map[string][]byte{"config/opensearch.yml": buf.Bytes(), "config/log4j2.properties": log4j2, "Launch.java": launcher} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	if err != nil {
		return fmt.Errorf("configure OpenSearch: %w", err)
	}
	return nil
}

// answers succeeds once the node has a cluster whose shards are there: yellow is as good as one node gets.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/_cluster/health", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var health struct{ Status string }
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return fmt.Errorf("decode health: %w", err)
	}
	if resp.StatusCode != http.StatusOK || health.Status == "red" {
		return fmt.Errorf("the cluster is %q, HTTP %d", health.Status, resp.StatusCode)
	}
	return nil
}
