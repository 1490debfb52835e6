package packaging

import (
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/app"
	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/fetcher/entra"
	"github.com/logferry/logferry/pkg/normalizer"
	"github.com/logferry/logferry/pkg/sink/collector"
	"github.com/logferry/logferry/pkg/sink/elastic"
	"github.com/logferry/logferry/pkg/sink/file"
	"github.com/logferry/logferry/pkg/sink/kafka"
	"github.com/logferry/logferry/pkg/sink/splunk"
	"github.com/logferry/logferry/pkg/sink/syslog"
	"github.com/logferry/logferry/pkg/timeline"
)

var update = flag.Bool("update", false, "write the generated configurations anew")

// TestGeneratedConfigsAreCurrent: what `logferry schema` prints lies in configs, too.
func TestGeneratedConfigsAreCurrent(t *testing.T) {
	for _, g := range []struct {
		file string
		make func(config.SchemaOptions) ([]byte, error)
	}{{"configs/logferry.schema.json", config.JSONSchema}, {"configs/reference.yaml", config.Reference}} {
		want, err := g.make(normalizer.AllChoices())
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(filepath.Join(root, g.file), want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(want), read(t, g.file)); diff != "" {
			t.Errorf("%s is not what logferry schema prints: renew it with go test ./test/packaging -update\n%s", g.file, diff)
		}
	}
}

// refLine is a line of reference.yaml that has a key.
type refLine struct {
	path string // sinks.splunk.batch.events
	on   bool
	top  bool // the # stands at the key, not at a block above it
}

var refPattern = regexp.MustCompile(`^( *)(# )?( *)(- )?([a-z_0-9]+):( |$)`)

// referenceLines reads the reference by its indents, whatever is behind a #.
func referenceLines(text string) map[int]refLine {
	lines, above, indents := map[int]refLine{}, []string{}, []int{}
	for i, line := range strings.Split(text, "\n") {
		m := refPattern.FindStringSubmatch(line)
		if m == nil || line == "" || m[2] != "" && m[1] == "" {
			continue // a comment, a heading
		}
		indent := len(m[1]) + len(m[3]) + len(m[4])
		for len(indents) > 0 && indents[len(indents)-1] >= indent {
			above, indents = above[:len(above)-1], indents[:len(indents)-1]
		}
		above, indents = append(above, m[5]), append(indents, indent)
		lines[i] = refLine{path: strings.Join(above, "."), on: m[2] == "", top: m[2] != "" && m[3] == "" && m[4] == ""}
	}
	return lines
}

// TestReferenceHasEveryKey walks the types by itself: a key that the decoder reads stands in the reference, and the other way round.
func TestReferenceHasEveryKey(t *testing.T) {
	want := map[string]bool{}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			name, options, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			switch {
			case strings.Contains(options, "inline"):
				walk(path, typ.Field(i).Type)
			case name != "" && name != "-" && name != "client_secret": // which is known to be refused
				at := strings.TrimPrefix(path+"."+name, ".")
				want[at] = true
				walk(at, typ.Field(i).Type)
			}
		}
	}
	walk("", reflect.TypeFor[config.Config]())
	if len(want) < 200 {
		t.Fatalf("%d keys only", len(want))
	}
	reference := read(t, "configs/reference.yaml")
	got := map[string]bool{}
	for i, l := range referenceLines(reference) {
		got[l.path] = true
		if line := strings.Split(reference, "\n")[i]; !strings.Contains(line, " # ") && !regexp.MustCompile(`^(  ){0,2}[a-z]+:( \{\})?$|schema: \{name: raw\}`).MatchString(line) {
			t.Errorf("line %d does not say what it means: %s", i+1, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys of the configuration (-) and of the reference (+):\n%s", diff)
	}
	for schema, options := range normalizer.AllChoices() {
		for option, values := range options {
			if !regexp.MustCompile(`schema: \{name: ` + schema + `,.*\b` + option + `: ` + values[0] + `\b`).MatchString(reference) {
				t.Errorf("option %s of schema %s with its default %s is not there", option, schema, values[0])
			}
		}
	}
}

// TestReferenceShowsTheDefaults: what the reference sets is what leaving it out means, but for what has to be set.
func TestReferenceShowsTheDefaults(t *testing.T) {
	cfg := accept(t, "reference.yaml", read(t, "configs/reference.yaml"))
	usual := config.Default()
	same := func(name string, want, got any) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: really (-), shown (+):\n%s", name, diff)
		}
	}
	same("state", usual.State, cfg.State)
	same("admin", usual.Admin, cfg.Admin)
	same("log", usual.Log, cfg.Log)
	source, graph := cfg.Sources[0].Entra, entra.Default()
	graph.Tenant, graph.Auth = source.Graph.Tenant, source.Graph.Auth
	same("entra", graph, source.Graph)
	same("time", timeline.Default(), source.Time)
	if first := cfg.Sinks[0]; first.Paused || first.SkipsOldest() != (config.Sink{}).SkipsOldest() || first.SchemaName() != (config.Sink{Splunk: first.Splunk}).SchemaName() {
		t.Errorf("sink %+v", first)
	}
	for _, s := range cfg.Sinks {
		switch {
		case s.Splunk != nil:
			d := splunk.Default()
			d.Endpoints, d.TokenFile = s.Splunk.Endpoints, s.Splunk.TokenFile
			same("splunk", d, *s.Splunk)
		case s.Kafka != nil:
			d := kafka.Default()
			d.Brokers, d.Topic, d.TLS = s.Kafka.Brokers, s.Kafka.Topic, s.Kafka.TLS
			same("kafka", d, *s.Kafka)
		case s.Syslog != nil:
			d := syslog.Default()
			d.Address = s.Syslog.Address
			same("syslog", d, *s.Syslog)
		case s.Elastic != nil:
			d := elastic.Default()
			d.Endpoints = s.Elastic.Endpoints
			same("elastic", d, *s.Elastic)
		case s.HTTP != nil:
			d := collector.Default()
			d.Endpoints = s.HTTP.Endpoints
			same("http", d, *s.HTTP)
		case s.File != nil:
			d := file.Default()
			d.Path = s.File.Path
			same("file", d, *s.File)
		}
	}
}

// TestReferenceAlternativesAreAccepted takes the # from each key that is off, with those that go with it and without those that it
// excludes.
func TestReferenceAlternativesAreAccepted(t *testing.T) {
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "/token")
	with := map[string]string{
		"certificate_password_file": "certificate_file", "cert_file": "key_file", "key_file": "cert_file", "user": "password_file", "password_file": "user",
		"hash_fields": "hash_key_file", "hash_key_file": "hash_fields", "max_bytes": "keep", "max_age": "keep", "keep": "max_bytes",
	}
	secret := []string{"client_secret_file"}
	instead := map[string][]string{
		"certificate_file": secret, "certificate_password_file": secret, "federated_token_file": secret, "workload_identity": secret, "device_code": secret,
		"managed_identity": {"client_secret_file", "client_id"}, "index": {"data_stream"},
	}
	text := read(t, "configs/reference.yaml")
	lines, known := strings.Split(text, "\n"), referenceLines(text)
	tried := 0
	for i, l := range lines {
		if !known[i].top {
			continue
		}
		tried++
		block, key := known[i].path[:strings.LastIndexByte(known[i].path, '.')], known[i].path[strings.LastIndexByte(known[i].path, '.')+1:]
		changed := slices.Clone(lines)
		for k := range lines {
			path := known[k].path
			switch {
			case key == "schema" && path == known[i].path && k != i: // one line of several
			case (path == known[i].path && k == i) || path == block+"."+with[key] && known[k].top, strings.HasPrefix(path, known[i].path+".") && !known[k].on && key != "schema":
				changed[k] = strings.Replace(lines[k], "# ", "", 1)
			case known[k].on && slices.Contains(instead[key], strings.TrimPrefix(path, block+".")):
				changed[k] = ""
			}
		}
		t.Run(fmt.Sprintf("line %d %s", i+1, known[i].path), func(t *testing.T) {
			if changed[i] == l {
				t.Fatal("nothing was switched on")
			}
			accept(t, "reference.yaml", strings.Join(changed, "\n"))
		})
	}
	if tried < 70 {
		t.Errorf("%d keys only are off", tried)
	}
}

// TestConfigsRun makes everything that each configuration names, once its secrets and certificates are there.
func TestConfigsRun(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for _, config := range append(glob(t, "configs/*.yaml"), filepath.Join(root, "configs/tenants")) {
		t.Run(filepath.Base(config), func(t *testing.T) {
			sources := 1
			files := []string{config}
			if filepath.Ext(config) == "" {
				files = glob(t, "configs/"+filepath.Base(config)+"/*.yaml")
				sources = len(files) - 1
			}
			dir := t.TempDir()
			for _, f := range files {
				here(t, dir, f, certificate)
			}
			runs(t, dir, sources)
		})
	}
}

var placed = regexp.MustCompile(`((/var)?/run/secrets|/etc/logferry|/var/lib/logferry|/var/log/entra|\./)`)

// here writes a configuration into dir/conf with all its files below dir, and those that it reads.
func here(t *testing.T, dir, config string, certificate []byte) {
	t.Helper()
	content, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text := placed.ReplaceAllString(string(content), dir+"$1")
	for _, name := range regexp.MustCompile(`(_file: |secret_headers: \{[A-Za-z-]+: )([^ ,}]+)`).FindAllStringSubmatch(text, -1) {
		secret := []byte("0123456789abcdef0123456789abcdef\n")
		if strings.Contains(name[2], "/etc/") {
			secret = certificate
		}
		write(t, name[2], secret)
	}
	write(t, filepath.Join(dir, "conf", filepath.Base(config)), []byte(text))
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if !strings.HasPrefix(name, os.TempDir()) {
		t.Fatalf("%s is outside of the test's folder", name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func runs(t *testing.T, dir string, sources int) {
	t.Helper()
	n, err := normalizer.New()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load([]string{filepath.Join(dir, "conf")}, n)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Sources) != sources || !strings.HasPrefix(cfg.State.Dir, dir) {
		t.Fatalf("%d sources, state in %s", len(cfg.Sources), cfg.State.Dir)
	}
	a, err := app.New(cfg, app.Options{Version: "test", Stdout: io.Discard, NoSync: true, NoControl: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
