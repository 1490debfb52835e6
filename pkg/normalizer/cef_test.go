package normalizer

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/event"
)

// textLine is a line as a strict reader of its form reads it.
type textLine struct {
	vendor, product, version, class, name string
	severity                              int
	fields                                map[string]string
}

// cefKeys are those keys of the dictionary that are written.
var cefKeys = regexp.MustCompile(`^(rt|externalId|deviceExternalId|cat|act|outcome|reason|msg|suser|suid|duser|duid|src|spt|c6a2|shost|requestClientApplication|destinationServiceName|rawEvent|(cs[1-6]|cn[12]|c6a2|flexString[12])(Label)?)$`)

// parseCEF reads a line and refuses what one reader or another would.
func parseCEF(body []byte) (l textLine, err error) {
	s := string(body)
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 || !utf8.ValidString(s) {
		return l, fmt.Errorf("control character at %d", i)
	}
	var head []string
	var field strings.Builder
	for len(head) < 7 {
		if s == "" {
			return l, fmt.Errorf("header ends after %q", head)
		}
		switch {
		case s[0] == '|':
			head = append(head, field.String())
			field.Reset()
		case s[0] == '\\' && (len(s) < 2 || s[1] != '|' && s[1] != '\\'):
			return l, fmt.Errorf("lone backslash in the header before %q", s)
		case s[0] == '\\':
			field.WriteByte(s[1])
			s = s[1:]
		default:
			field.WriteByte(s[0])
		}
		s = s[1:]
	}
	l.vendor, l.product, l.version, l.class, l.name = head[1], head[2], head[3], head[4], head[5]
	if l.severity, err = strconv.Atoi(head[6]); err != nil || head[0] != "CEF:0" || l.severity < 0 || l.severity > 10 {
		return l, fmt.Errorf("header %q", head)
	}
	l.fields, err = parseExtension(s)
	return l, err
}

var customKey = regexp.MustCompile(`^(cs|cn|c6a|flexString)[0-9]$`)

var extensionKey = regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)

var unescaped = strings.NewReplacer("n", "\n", "r", "\r")

func parseExtension(s string) (map[string]string, error) {
	fields, keys := map[string]string{}, extensionKey.FindAllStringSubmatchIndex(s, -1)
	if len(keys) == 0 || keys[0][0] != 0 {
		return nil, fmt.Errorf("no key at the beginning of %q", s)
	}
	for i, k := range keys {
		end := len(s)
		if i+1 < len(keys) {
			end = keys[i+1][0]
		}
		key, value := s[k[2]:k[3]], s[k[1]:end]
		if _, twice := fields[key]; twice || !cefKeys.MatchString(key) || value == "" || strings.Trim(value, " ") != value {
			return nil, fmt.Errorf("%s=%q: unknown, twice, or not trimmed", key, value)
		}
		var plain strings.Builder
		for ; value != ""; value = value[1:] {
			switch {
			case value[0] == '=':
				return nil, fmt.Errorf("%s: bare = before %q", key, value)
			case value[0] != '\\':
				plain.WriteByte(value[0])
				continue
			case len(value) < 2 || !strings.ContainsRune(`\=nr`, rune(value[1])):
				return nil, fmt.Errorf("%s: lone backslash before %q", key, value)
			}
			value = value[1:]
			plain.WriteString(unescaped.Replace(value[:1]))
		}
		fields[key] = plain.String()
	}
	for key := range fields {
		label, isLabel := strings.CutSuffix(key, "Label")
		if custom := customKey.MatchString(label); custom && (fields[label] == "" || fields[label+"Label"] == "") || isLabel && !custom {
			return nil, fmt.Errorf("%s without its partner", key)
		}
	}
	return fields, nil
}

var leefKey = regexp.MustCompile(`^[A-Za-z]+$`)

// parseLEEF reads a line of LEEF 2.0.
func parseLEEF(body []byte) (l textLine, err error) {
	head := strings.SplitN(string(body), "|", 7)
	if len(head) != 7 || head[0] != "LEEF:2.0" || head[5] != "x09" {
		return l, fmt.Errorf("header %q", head)
	}
	l.vendor, l.product, l.version, l.class = head[1], head[2], head[3], head[4]
	l.fields = map[string]string{}
	for pair := range strings.SplitSeq(head[6], "\t") {
		key, value, ok := strings.Cut(pair, "=")
		if _, twice := l.fields[key]; !ok || twice || !leefKey.MatchString(key) || value == "" || strings.Trim(value, " ") != value {
			return l, fmt.Errorf("pair %q: twice, or not trimmed", pair)
		}
		l.fields[key] = value
	}
	for i, r := range string(body) {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError && !bytes.HasPrefix(body[i:], []byte("\ufffd")) || r == '\t' && i < len(body)-len(head[6]) {
			return l, fmt.Errorf("control character at %d", i)
		}
	}
	l.severity, err = strconv.Atoi(l.fields["sev"])
	if l.name = l.fields["activity"]; err == nil && (l.severity < 1 || l.severity > 10) {
		err = fmt.Errorf("severity %d", l.severity)
	}
	return l, err
}

// asLine is how a value stands in a line: without what ends lines (CEF keeps those within), trimmed.
func asLine(v any, keepsLines bool) string {
	if v == nil {
		return ""
	}
	s := strings.TrimFunc(fmt.Sprint(v), func(r rune) bool { return r <= ' ' || r == 0x7f })
	return strings.Map(func(r rune) rune {
		if (r < ' ' || r == 0x7f) && !(keepsLines && (r == '\n' || r == '\r')) {
			return ' '
		}
		return r
	}, s)
}

// lineFields are keys of lines and the fields of schema cim that have the same values, by cef and leef.
var lineFields = map[string][2]map[string]string{
	"": {
		{"deviceExternalId": "tenant", "cat": "logferry.stream", "externalId": "logferry.event_id", "cs2": "correlation_id", "flexString2": "record_id", "cn2": "logferry.mapping", "spt": "src_port",
			"requestClientApplication": "user_agent"},
		{"tenant": "tenant", "cat": "logferry.stream", "eventId": "logferry.event_id", "correlationId": "correlation_id", "recordId": "record_id", "mapping": "logferry.mapping", "srcPort": "src_port",
			"userAgent": "user_agent", "src": "src_ip"},
	},
	"signins": {
		{"suser": "user", "duser": "user", "suid": "user_id", "duid": "user_id", "cs1": "app", "shost": "src_nt_host", "cn1": "signature_id", "cs5": "client_app", "flexString1": "src_country"},
		{"usrName": "user", "userId": "user_id", "app": "app", "identHostName": "src_nt_host", "errorCode": "signature_id", "clientApp": "client_app", "country": "src_country",
			"authenticationMethod": "authentication_method", "userDisplayName": "user_name", "identSrc": "src_ip"},
	},
	"audits": {
		{"suser": "src_user", "suid": "src_user_id", "cs1": "app", "cs3": "object"},
		{"usrName": "src_user", "userId": "src_user_id", "app": "app", "modifiedProperties": "object_attrs", "category": "category", "role": "role", "activity": "command", "userDisplayName": "src_user_name"},
	},
	"risk": {{"suser": "user", "suid": "user_id", "cs4": "category"}, {"usrName": "user", "userId": "user_id", "category": "category", "activity": "signature"}},
}

// checkLines holds both lines of a record against its event of schema cim, which encoding/json reads.
func checkLines(t *testing.T, n *Normalizer, rec event.Record) {
	t.Helper()
	m := flatEvent(t, n, rec, cimAlone)
	family := modelOf(&rec)
	if family == "" {
		family = "risk"
	}
	for i, parse := range []func([]byte) (textLine, error){parseCEF, parseLEEF} {
		name := []string{"cef", "leef"}[i]
		out, err := n.Normalize(nil, rec, event.Schema{Name: name, Options: "raw=keep"})
		if err != nil {
			t.Fatal(err)
		}
		l, err := parse(out)
		if err != nil {
			t.Fatalf("%s: %v\nrecord %s\nline %q", name, err, rec.Raw, out)
		}
		for _, fields := range []map[string]string{lineFields[""][i], lineFields[family][i]} {
			for key, field := range fields {
				if want := asLine(m[field], name == "cef"); l.fields[key] != want {
					t.Errorf("%s: %s = %q, want %s = %q", name, key, l.fields[key], field, want)
				}
			}
		}
		class, title := fmt.Sprint(m["signature_id"]), "Sign-in activity"
		switch {
		case m["signature_id"] != nil:
		case family == "audits" && m["command"] != nil:
			class = asLine(m["command"], false)
			title = class
		default:
			class = rec.Key.Stream
			if family != "signins" {
				title = class
			}
		}
		if name == "leef" {
			class = strings.ReplaceAll(class, "|", "/")
		}
		if l.class != class || name == "cef" && family != "risk" && l.name != title || l.vendor+l.product != "MicrosoftEntra ID" || l.version != strconv.Itoa(Version) {
			t.Errorf("%s: header %+v, want class %q and name %q", name, l, class, title)
		}
		if want := asLine(oneLine(rec.Raw), true); l.fields["rawEvent"] != strings.ReplaceAll(want, "\t", " ") && l.fields["rawEvent"] != asLine(string(rec.Raw), name == "cef") {
			t.Errorf("%s: the record is not kept: %q", name, l.fields["rawEvent"])
		}
		checkAddress(t, l, m["src_ip"])
		if t.Failed() {
			t.Fatalf("%s\nrecord %s\nline %q", name, rec.Raw, out)
		}
	}
}

// checkAddress: CEF knows src for IPv4 alone.
func checkAddress(t *testing.T, l textLine, want any) {
	t.Helper()
	got := l.fields["src"] + l.fields["c6a2"]
	if ip, err := netip.ParseAddr(got); got != asLine(want, false) || err == nil && ip.Is6() && l.fields["c6a2"] == "" && l.fields["sev"] == "" {
		t.Errorf("address %q, want %v", got, want)
	}
}

// TestLines shows each record's lines in one file for each schema, and reads them back.
func TestLines(t *testing.T) {
	n, _ := newNormalizer(t)
	records := testRecords(t)
	for _, name := range []string{"cef", "leef"} {
		var all bytes.Buffer
		for _, record := range slices.Sorted(maps.Keys(records)) {
			out, err := n.Normalize(nil, records[record], event.Schema{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&all, "# %s\n%s\n", record, out)
		}
		checkGolden(t, "lines."+name, all.Bytes())
	}
	for _, rec := range records {
		checkLines(t, n, rec)
	}
}

// TestMutatedRecordsToLines: whatever stands in a record, its lines are read back to the same values.
func TestMutatedRecordsToLines(t *testing.T) {
	n, _ := newNormalizer(t)
	for name, rec := range testRecords(t) {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, uint64(len(rec.Raw))))
			for range 40 {
				checkLines(t, n, newRecord(rec.Key.Stream, mutated(t, r, rec)))
			}
		})
	}
}

// TestLineEscapes spells out what the parsers above take for granted.
func TestLineEscapes(t *testing.T) {
	n, _ := newNormalizer(t)
	rec := newRecord("audits", []byte(`{"activityDisplayName":"a|b\\c\nd=e","resultReason":" x=1\\2\t|\n3 ","result":"failure"}`))
	for name, want := range map[string][]string{
		"cef":  {`|a\|b\\c d=e|a\|b\\c d=e|5|rt=1772600767000 `, ` reason=x\=1\\2 |\n3 `},
		"leef": {`|a/b\c d=e|x09|devTime=1772600767000` + "\t", "\treason=x=1\\2 | 3\t", "\tactivity=a|b\\c d=e\t"},
	} {
		out, err := n.Normalize([]byte("before "), rec, event.Schema{Name: name})
		if err != nil || !bytes.HasPrefix(out, []byte("before ")) {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: %q has no %q", name, out, w)
			}
		}
		if bytes.Contains(out, []byte("rawEvent")) {
			t.Errorf("%s: the record is kept by itself", name)
		}
	}
}

// TestSeverity: what failed is above what went well, and a risk that is open above both.
func TestSeverity(t *testing.T) {
	n, _ := newNormalizer(t)
	for _, c := range []struct {
		stream, raw string
		want        int
	}{
		{"signins.interactive", `{"status":{"errorCode":0}}`, 2},
		{"signins.interactive", `{"status":{"errorCode":50076}}`, 3},
		{"signins.interactive", `{"status":{"errorCode":50126}}`, 5},
		{"signins.interactive", `{"status":{"errorCode":0},"riskLevelDuringSignIn":"high","riskState":"atRisk"}`, 9},
		{"signins.interactive", `{"status":{"errorCode":0},"riskLevelDuringSignIn":"high","riskState":"dismissed"}`, 2},
		{"signins.interactive", `{"status":{"errorCode":0},"riskLevelDuringSignIn":"hidden","riskLevelAggregated":"medium","riskState":"confirmedCompromised"}`, 7},
		{"signins.interactive", `{"status":{"errorCode":50126},"riskLevelDuringSignIn":"low","riskState":"atRisk"}`, 5},
		{"audits", `{"result":"success"}`, 2},
		{"audits", `{"result":"timeout"}`, 5},
		{"risk.detections", `{"riskLevel":"low"}`, 4},
		{"security.alerts", `{"severity":"high"}`, 9},
	} {
		out, err := n.Normalize(nil, newRecord(c.stream, []byte(c.raw)), event.Schema{Name: "cef"})
		if err != nil {
			t.Fatal(err)
		}
		if l, err := parseCEF(out); err != nil || l.severity != c.want {
			t.Errorf("%s: severity %d, %v, want %d", c.raw, l.severity, err, c.want)
		}
	}
}

func TestLineFlags(t *testing.T) {
	n, _ := newNormalizer(t)
	rec := newRecord("audits", []byte(`{}`))
	rec.Flags = event.FlagUpdate | event.FlagUncertain | event.FlagNoTime | event.FlagNoID | event.FlagResent
	for name, key := range map[string]string{"cef": "cs6", "leef": "flags"} {
		out, err := n.Normalize(nil, rec, event.Schema{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if got := Fields(out)[key]; got != "update,uncertain,resent,no_id,no_time" {
			t.Errorf("%s: %q", out, got)
		}
	}
}

// FuzzLines: any bytes give an error, or lines that strict readers take.
func FuzzLines(f *testing.F) {
	for _, rec := range testRecords(f) {
		f.Add(rec.Key.Stream, rec.Raw)
	}
	n, _ := newNormalizer(f)
	f.Fuzz(func(t *testing.T, stream string, raw []byte) {
		if !utf8.Valid(raw) || !utf8.ValidString(stream) || strings.TrimSpace(stream) == "" {
			return // pages are checked before they are split
		}
		for _, schema := range []event.Schema{{Name: "cef"}, {Name: "cef", Options: "raw=keep"}, {Name: "leef"}, {Name: "leef", Options: "raw=keep"}} {
			out, err := n.Normalize(nil, newRecord(stream, raw), schema)
			if err != nil {
				continue
			}
			parse := parseCEF
			if schema.Name == "leef" {
				parse = parseLEEF
			}
			if _, err := parse(out); err != nil {
				t.Fatalf("%v\nrecord %q\nline %q", err, raw, out)
			}
		}
	})
}
