package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// arrival is one event as a receiver has stored it.
type arrival struct {
	id     string // what the transport calls event_id; "" where it has no place for it
	stream string // likewise
	tenant string // likewise
	at     time.Time
	within time.Duration // how exact the receiver keeps at
	body   []byte        // the event
	rough  bool          // the receiver reads numbers as floats and writes the JSON anew
	cut    bool          // the transport says that the body was cut
}

// mapped is what every event of schema ecs says of itself.
type mapped struct {
	Timestamp time.Time       `json:"@timestamp"`
	Entra     json.RawMessage `json:"entra"`
	Event     struct {
		ID string `json:"id"`
	} `json:"event"`
	Logferry struct {
		Stream  string `json:"stream"`
		Tenant  string `json:"tenant"`
		EventID string `json:"event_id"`
		NoID    bool   `json:"no_id"`
		NoTime  bool   `json:"no_time"`
		Update  bool   `json:"update"`
	} `json:"logferry"`
}

// compare holds what arrived against what the API has shown: each version of each record once, with its own content.
func compare(t *testing.T, name string, want map[string]event.Record, got []arrival) {
	t.Helper()
	seen := map[string]int{}
	faults := 0
	fault := func(format string, args ...any) {
		if faults++; faults <= 5 {
			t.Errorf(name+": "+format, args...)
		}
	}
	for _, a := range got {
		id, err := check(a, want)
		if err != nil {
			fault("%v: %.600s", err, a.body)
			continue
		}
		seen[id]++
	}
	for id, n := range seen {
		if n > 1 {
			fault("event %s of %s arrived %d times", want[id].ID, want[id].Key, n)
		}
	}
	for id, r := range want {
		if seen[id] == 0 {
			fault("record %q of %s (%s) is missing", r.ID, r.Key, r.Time)
		}
	}
	if len(want) == 0 || faults > 0 {
		t.Errorf("%s: %d events arrived of %d shown, %d faults", name, len(got), len(want), faults)
	}
}

// check finds the record of an event and compares all that there is; it gives the event's id.
func check(a arrival, want map[string]event.Record) (string, error) {
	var m mapped
	if !a.cut {
		if err := json.Unmarshal(a.body, &m); err != nil {
			return "", fmt.Errorf("the body is no JSON: %w", err)
		}
	}
	id := a.id
	if id == "" {
		id = m.Logferry.EventID
	}
	r, ok := want[id]
	if !ok {
		return "", fmt.Errorf("event_id %q is that of no record shown", id)
	}
	for what, pair := range map[string][2]string{"stream": {a.stream, r.Key.Stream}, "tenant": {a.tenant, r.Key.Tenant}} {
		if pair[0] != "" && pair[0] != pair[1] {
			return "", fmt.Errorf("%s %q, want %q", what, pair[0], pair[1])
		}
	}
	timed := r.Flags&event.FlagNoTime == 0
	if off := a.at.Sub(r.Time.Truncate(a.within)); timed && !a.at.IsZero() && off.Abs() > a.within/2 {
		return "", fmt.Errorf("time %s, want %s", a.at, r.Time)
	}
	if a.cut {
		return id, checkCut(a, r)
	}
	if l := m.Logferry; l.EventID != id || l.Stream != r.Key.Stream || l.Tenant != r.Key.Tenant {
		return "", fmt.Errorf("logferry.* = %+v beside event_id %q of %s", l, id, r.Key)
	}
	if l := m.Logferry; l.NoTime != (r.Flags&event.FlagNoTime != 0) || l.NoID != (r.Flags&event.FlagNoID != 0) {
		return "", fmt.Errorf("logferry.no_id %v, no_time %v", l.NoID, l.NoTime)
	}
	if m.Event.ID != r.ID {
		return "", fmt.Errorf("event.id %q, want %q", m.Event.ID, r.ID)
	}
	if timed && !m.Timestamp.Equal(r.Time) {
		return "", fmt.Errorf("@timestamp %s, want %s", m.Timestamp, r.Time)
	}
	return id, sameRecord(m.Entra, r.Raw, a.rough)
}

// checkCut wants the beginning of an event.
func checkCut(a arrival, r event.Record) error {
	if len(a.body) < 500 || !bytes.HasPrefix(a.body, []byte(`{"@timestamp":"`)) {
		return fmt.Errorf("a cut event of %s does not begin like one", r.Key)
	}
	return nil
}

// sameRecord compares byte for byte. Only line ends and tabs between the values of a record may become blanks, and a rough
// receiver may write the same values in another way.
func sameRecord(got, want []byte, rough bool) error {
	if bytes.Equal(got, want) {
		return nil
	}
	if rough {
		var a, b any
		if err := json.Unmarshal(got, &a); err != nil {
			return err
		}
		if err := json.Unmarshal(want, &b); err != nil {
			return err
		}
		if diff := cmp.Diff(b, a); diff != "" {
			return fmt.Errorf("entra differs from the record (-record +entra):\n%s", diff)
		}
		return nil
	}
	if bytes.ContainsAny(want, "\n\r\t") {
		var a, b bytes.Buffer
		if json.Compact(&a, got) == nil && json.Compact(&b, want) == nil && bytes.Equal(a.Bytes(), b.Bytes()) {
			return nil
		}
	}
	return fmt.Errorf("entra is not the record %s", want)
}

// fromFiles reads what the file sink has written.
func fromFiles(t *testing.T, pattern string) []arrival {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all []arrival
	for _, file := range files {
		for _, line := range lines[json.RawMessage](t, file) {
			all = append(all, arrival{stream: strings.TrimSuffix(filepath.Base(file), ".ndjson"), body: line})
		}
	}
	return all
}

// fromStdout reads what the stdout sink has written.
func fromStdout(t *testing.T, text string) []arrival {
	t.Helper()
	var all []arrival
	for _, line := range decodeLines[json.RawMessage](t, []byte(text)) {
		all = append(all, arrival{body: line})
	}
	return all
}

// hecLine is an event in a hecpeer's file.
type hecLine struct {
	Time       int64           `json:"time"`
	Host       string          `json:"host"`
	Source     string          `json:"source"`
	Sourcetype string          `json:"sourcetype"`
	Index      string          `json:"index"`
	Fields     map[string]any  `json:"fields"`
	Event      json.RawMessage `json:"event"`
}

// fromHEC reads what a hecpeer has stored of one source (a sink's setting) and checks the envelopes.
func fromHEC(t *testing.T, r *receiver, source string) []arrival {
	t.Helper()
	var all []arrival
	for _, l := range lines[hecLine](t, r.Out) {
		if l.Source != source {
			continue
		}
		id, _ := l.Fields["event_id"].(string)
		stream, _ := l.Fields["stream"].(string)
		sourcetype := "entra:signin"
		if stream == simulator.Audits {
			sourcetype = "entra:audit"
		}
		if l.Sourcetype != sourcetype || id == "" || stream == "" || len(l.Fields) != 2 {
			t.Errorf("envelope with sourcetype %q and fields %v of stream %q", l.Sourcetype, l.Fields, stream)
		}
		// The receiver has the time as a float of seconds, which is good for half a microsecond.
		all = append(all, arrival{id: id, stream: stream, tenant: l.Host, at: time.Unix(0, l.Time), within: time.Microsecond, body: l.Event, rough: true})
	}
	return all
}

// syslogLine is a message as rsyslog has parsed it.
type syslogLine struct {
	In       string                       `json:"in"`
	Proto    string                       `json:"proto"`
	Facility string                       `json:"facility"`
	Severity string                       `json:"severity"`
	TS       string                       `json:"ts"`
	Host     string                       `json:"host"`
	App      string                       `json:"app"`
	ProcID   string                       `json:"procid"`
	MsgID    string                       `json:"msgid"`
	SD       map[string]map[string]string `json:"sdparsed"`
	Msg      string                       `json:"msg"`
}

// fromSyslog reads the messages that one input of rsyslog has got from one app (a sink's setting) and checks their headers.
func fromSyslog(t *testing.T, r *receiver, input, app string) []arrival {
	t.Helper()
	var all []arrival
	for _, l := range lines[syslogLine](t, r.Out) {
		if l.In != input || l.App != app {
			continue
		}
		sd := l.SD["logferry@32473"]
		a := arrival{id: sd["event_id"], stream: sd["stream"], tenant: sd["tenant"], within: time.Microsecond, body: []byte(l.Msg)}
		if sd["truncated"] != "" {
			a.cut = true
			if sd["truncated"] != "1" || sd["orig_len"] == "" || len(sd) != 5 {
				t.Errorf("structured data of a cut message: %v", sd)
			}
		} else if len(sd) != 3 {
			t.Errorf("structured data: %v", sd)
		}
		var err error
		if a.at, err = time.Parse("2006-01-02T15:04:05.000000Z", l.TS); err != nil {
			t.Errorf("timestamp: %v", err)
		}
		family, _, _ := strings.Cut(a.stream, ".")
		head := []string{l.Proto, l.Facility, l.Severity, l.Host, l.ProcID, l.MsgID}
		if want := []string{"1", "local4", "info", a.tenant, "-", family}; !slices.Equal(head, want) || a.tenant == "" {
			t.Errorf("header %q, want %q", head, want)
		}
		all = append(all, a)
	}
	return all
}

// awaitSyslog is fromSyslog that waits for so many messages: TCP has no reply, the last ones may be on their way.
func awaitSyslog(t *testing.T, r *receiver, input, app string, n int) []arrival {
	t.Helper()
	var got []arrival
	eventually(t, func() error {
		if got = fromSyslog(t, r, input, app); len(got) < n {
			return fmt.Errorf("%d of %d messages from %s", len(got), n, app)
		}
		return nil
	})
	return got
}

// kafkaLine is a record as kafkadump prints it.
type kafkaLine struct {
	Topic       string             `json:"topic"`
	Partition   int                `json:"partition"`
	TimestampMS int64              `json:"timestamp_ms"`
	Key         *string            `json:"key"`
	Headers     map[string]*string `json:"headers"`
	Value       *string            `json:"value"`
}

// fromKafka reads topics and checks headers, and that keys are those of keyOf.
func fromKafka(t *testing.T, r *receiver, topics string, keyOf func(record []byte) string, args ...string) []arrival {
	t.Helper()
	cmd := exec.Command(filepath.Join(r.tools, "kafkadump"), append([]string{"-brokers", r.Address, "-topics", topics}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kafkadump: %v\n%s", err, stderr.Bytes())
	}
	var all []arrival
	partitions := map[string]int{}
	for _, l := range decodeLines[kafkaLine](t, stdout.Bytes()) {
		h := map[string]string{}
		for key, value := range l.Headers {
			if value != nil {
				h[key] = *value
			}
		}
		if h["content-type"] != "application/json" || h["schema"] != "ecs" || len(l.Headers) != 5 || l.Value == nil {
			t.Fatalf("record with headers %v, value %v", slices.Sorted(maps.Keys(l.Headers)), l.Value)
		}
		var m mapped
		if err := json.Unmarshal([]byte(*l.Value), &m); err != nil {
			t.Fatal(err)
		}
		key := ""
		if l.Key != nil {
			key = *l.Key
		}
		if want := keyOf(m.Entra); key != want {
			t.Errorf("key %q, want %q of %.300s", key, want, m.Entra)
		}
		if key != "" {
			if p, ok := partitions[l.Topic+key]; ok && p != l.Partition {
				t.Errorf("key %q is in partitions %d and %d of %s", key, p, l.Partition, l.Topic)
			}
			partitions[l.Topic+key] = l.Partition
		}
		all = append(all, arrival{
			id: h["event_id"], stream: h["stream"], tenant: h["tenant"], at: time.UnixMilli(l.TimestampMS), within: time.Millisecond, body: []byte(*l.Value),
		})
	}
	return all
}

// userOf says whose record it is, in a test's own words: the key of kafka's default.
func userOf(record []byte) string {
	var r struct {
		UserID             string `json:"userId"`
		ServicePrincipalID string `json:"servicePrincipalId"`
		UPN                string `json:"userPrincipalName"`
		InitiatedBy        struct {
			User struct{ ID string }                 `json:"user"`
			App  struct{ ServicePrincipalID string } `json:"app"`
		} `json:"initiatedBy"`
	}
	json.Unmarshal(record, &r) // what has another type than it should names nobody
	for _, id := range []string{r.UserID, r.ServicePrincipalID, r.InitiatedBy.User.ID, r.InitiatedBy.App.ServicePrincipalID, r.UPN} {
		if id != "" && id != "00000000-0000-0000-0000-000000000000" {
			return id
		}
	}
	return ""
}

func nobody([]byte) string { return "" }

// compareRaw is compare for schema raw, which is the record and nothing else.
func compareRaw(t *testing.T, want map[string]event.Record, text string) {
	t.Helper()
	left := map[string]int{}
	for _, r := range want {
		left[compact(t, r.Raw)]++
	}
	for line := range strings.Lines(text) {
		left[compact(t, []byte(line))]--
	}
	for raw, n := range left {
		if n != 0 {
			t.Errorf("raw: %d too few of %.300s", n, raw)
		}
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatalf("%v: %.300s", err, text)
	}
	return b.String()
}
