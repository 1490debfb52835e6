package splunk

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/sink/post/posttest"
)

var update = flag.Bool("update", false, "write the golden files")

// The samples, by short names.
var sample, samples = posttest.Sample, posttest.Samples

func TestEncodeGolden(t *testing.T) {
	for _, c := range []struct {
		name, schema string
		cfg          Config
	}{
		{"defaults", "ecs", Config{}},
		{"raw", "raw", Config{}},
		{"envelope", "envelope", Config{}},
		{"text", "cef", Config{}},
		{"named", "ecs", Config{Host: "{tenant}", Source: `log"ferry\`, Sourcetype: "my:{family}:{stream}", Index: "entra-{date}"}},
		{"constant-index", "ecs", Config{Index: "entra"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			enc, err := newEncoder(c.cfg.withDefaults(), event.Schema{Name: c.schema})
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for i, stream := range []string{"signins.interactive", "audits", "risk.detections", "provisioning"} {
				body := `{"user":{"name":"Zo\u00eb ☃"},"nested":{"a":[1,2.50,{}]}}`
				if c.schema == "cef" {
					body = "CEF:0|Contoso|x\\|y|1|1|\"name\"|3|msg=a\\=b \x01\xff\t\u2028"
				}
				e := sample(i, stream, body)
				before := len(got)
				got = enc.append(got, &e)
				agree(t, got[before:], &e, c.schema == "cef")
			}
			path := filepath.Join("testdata", c.name+".golden")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// agree checks an envelope with encoding/json: one line, no name twice, the body as it was.
func agree(t *testing.T, line []byte, e *event.Event, text bool) {
	t.Helper()
	if bytes.IndexByte(line, '\n') != len(line)-1 {
		t.Errorf("not one line: %q", line)
	}
	var got struct {
		Time  json.Number
		Event json.RawMessage
	}
	in := json.NewDecoder(bytes.NewReader(line))
	if err := in.Decode(&got); err != nil {
		t.Fatalf("encoding/json does not read %s: %v", line, err)
	}
	if got.Time != "1772409599.123456" {
		t.Errorf("time is %s", got.Time)
	}
	if text {
		var s string
		if err := json.Unmarshal(got.Event, &s); err != nil || s != string(bytes.ToValidUTF8(e.Body, []byte("\ufffd"))) {
			t.Errorf("event is %q, %v", s, err)
		}
		return
	}
	if !bytes.Equal(got.Event, e.Body) {
		t.Errorf("event is %s, want %s", got.Event, e.Body)
	}
}

func TestAppendTime(t *testing.T) {
	for _, c := range []struct {
		nano int
		want string
	}{
		{0, "1732242000.000"},
		{123_000_000, "1732242000.123"},
		{5_000_000, "1732242000.005"},
		{123_456_000, "1732242000.123456"},
		{1_000, "1732242000.000001"},
		{999_999_999, "1732242000.999999"},
		{100, "1732242000.000"},
	} {
		if got := string(appendTime(nil, time.Unix(1732242000, int64(c.nano)))); got != c.want {
			t.Errorf("%d ns: %s, want %s", c.nano, got, c.want)
		}
	}
}

func TestEncodeIndex(t *testing.T) {
	for name, want := range map[string]string{
		"main":              `,"index":"main",`,
		"Any.Name":          `,"index":"Any.Name",`, // what the operator writes is theirs
		"entra-{stream}":    `,"index":"entra-signins_interactive",`,
		"{tenant}_{family}": `,"index":"contoso_example_com_signins",`,
		"entra_{date}-x":    `,"index":"entra_2026-03-01-x",`,
	} {
		enc, err := newEncoder(Config{Index: name}.withDefaults(), event.Schema{Name: "ecs"})
		if err != nil {
			t.Fatal(err)
		}
		e := sample(0, "signins.interactive", `{}`)
		e.Key.Tenant = "Contoso.example.com"
		if got := enc.append(nil, &e); !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestEncodeWithoutTime(t *testing.T) {
	enc, err := newEncoder(Default(), event.Schema{Name: "ecs"})
	if err != nil {
		t.Fatal(err)
	}
	e := sample(0, "audits", `{}`)
	e.Time = time.Time{}
	if got := enc.append(nil, &e); !bytes.HasPrefix(got, []byte(`{"host":`)) {
		t.Errorf("an event without time: %s", got)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("signins.interactive", posttest.Tenant, "text", int64(1732242000123456))
	f.Add("a\"b.\xff", "t\n", "\x00\u2028\"", int64(-1))
	f.Fuzz(func(t *testing.T, stream, tenant, text string, micro int64) {
		for _, schema := range []string{"raw", "cef"} {
			enc, err := newEncoder(Config{Index: "{tenant}-{date}"}.withDefaults(), event.Schema{Name: schema})
			if err != nil {
				t.Fatal(err)
			}
			e := sample(0, stream, text)
			e.Key.Tenant, e.Time = tenant, time.UnixMicro(micro)
			if schema == "raw" {
				e.Body, _ = json.Marshal(map[string]string{"text": text})
			}
			if line := enc.append(nil, &e); !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Errorf("not one line of JSON: %q", line)
			}
		}
	})
}
