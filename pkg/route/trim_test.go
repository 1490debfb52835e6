package route

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/normalizer"
)

const testKey = "0123456789abcdef-a-key-of-tests"

func keyFile(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newTrimmer(t testing.TB, drop, hash []string) *Trimmer {
	t.Helper()
	c := Config{DropFields: drop, HashFields: hash}
	if hash != nil {
		c.HashKeyFile = keyFile(t, testKey+"\n")
	}
	trimmer, err := NewTrimmer(c)
	if err != nil {
		t.Fatal(err)
	}
	return trimmer
}

func newRecord(stream string, raw []byte) event.Record {
	return event.Record{
		Key: event.StreamKey{Cloud: "global", Tenant: "11111111-2222-3333-4444-555555555555", Stream: stream}, ID: "id-of-the-fetcher", Digest: 7,
		Time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), Read: time.Date(2026, 3, 4, 5, 8, 0, 0, time.UTC), Raw: raw,
	}
}

// hashOf is what a text becomes, made without the code under test.
func hashOf(key, text string) string {
	text = strings.TrimSpace(text)
	if !normalizer.Says([]byte(text)) {
		return text
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(strings.ToLower(text)))
	return "hmac:" + hex.EncodeToString(mac.Sum(nil)[:16])
}

func TestTrim(t *testing.T) {
	anna := hashOf(testKey, "anna@contoso.com")
	for _, tt := range []struct {
		name, drop, hash, in, want string
	}{
		{"nothing of it is there", "x y.z", "w", `{ "a" : 1,"b":"\u00e9" }`, `{ "a" : 1,"b":"\u00e9" }`},
		{"the first", "a", "", `{ "a" : 1 , "b": 2 }`, `{ "b": 2 }`},
		{"the last", "b", "", `{ "a" : 1 , "b": 2 }`, `{ "a" : 1 }`},
		{"one in the middle", "b", "", `{"a":1,"b":{"x":[1,2]},"c":3}`, `{"a":1,"c":3}`},
		{"all", "a b", "", `{"a":1,"b":2}`, `{}`},
		{"the first two", "a b", "", `{"a":1,"b":2,"c":"3"}`, `{"c":"3"}`},
		{"a doubled member", "a", "", `{"a":1,"b":2,"a":3}`, `{"b":2}`},
		{"an escaped name", "ipAddress", "", `{"\u0069pAddress":"192.0.2.1","b":2}`, `{"b":2}`},
		{"another letter case", "ipAddress", "", `{"IPAddress":"192.0.2.1","b":2}`, `{"b":2}`},
		{"below a member", "location.geoCoordinates", "", `{"location":{"city":"X","geoCoordinates":{"latitude":1}},"geoCoordinates":0}`, `{"location":{"city":"X"},"geoCoordinates":0}`},
		{"through an array", "t[].m", "", `{"t":[{"m":1,"n":2},{"n":3},4,{"m":[5]}]}`, `{"t":[{"n":2},{"n":3},4,{}]}`},
		{"through an array that is not written", "t.m", "", `{"t":[[{"m":1}],{"m":2}]}`, `{"t":[[{}],{}]}`},
		{"no array where one is written", "t[].m", "", `{"t":{"m":1}}`, `{"t":{}}`},
		{"a text", "", "u", `{"u":"anna@contoso.com","v":1}`, `{"u":"` + anna + `","v":1}`},
		{"letter case and blanks", "", "u", `{"u":" Anna@CONTOSO.com"}`, `{"u":"` + anna + `"}`},
		{"an escaped text", "", "u", `{"u":"\u0061nna@contoso.com"}`, `{"u":"` + anna + `"}`},
		{"in two fields", "", "u i.user.u", `{"u":"anna@contoso.com","i":{"user":{"u":"anna@contoso.com"}}}`, `{"u":"` + anna + `","i":{"user":{"u":"` + anna + `"}}}`},
		{"numbers and words", "", "u", `{"u":[17, true ,false,null,{"x":1.5e3}],"v":1}`, `{"u":[null, null ,null,null,{"x":null}],"v":1}`},
		{"a whole object", "", "u", `{"u":{"x":"anna@contoso.com","y":["anna@contoso.com"]}}`, `{"u":{"x":"` + anna + `","y":["` + anna + `"]}}`},
		{"dropped within hashed", "u.x", "u", `{"u":{"x":1,"y":"anna@contoso.com"}}`, `{"u":{"y":"` + anna + `"}}`},
		{"hashed within dropped", "u", "u.x", `{"u":{"x":1},"v":2}`, `{"v":2}`},
		{"nobody", "", "u", `{"u":["","hidden","00000000-0000-0000-0000-000000000000",null]}`, `{"u":["","hidden","00000000-0000-0000-0000-000000000000",null]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecord("audits", []byte(tt.in))
			trimmer := newTrimmer(t, fields(tt.drop), fields(tt.hash))
			got, err := trimmer.Trim([]byte("before"), &rec)
			if err != nil || string(got) != "before"+tt.want {
				t.Errorf("%s, %v\nwant before%s", got, err, tt.want)
			}
		})
	}
}

func fields(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Fields(s)
}

// TestTrimRefuses: what cannot be read as a record is not passed on as it is.
func TestTrimRefuses(t *testing.T) {
	trimmer := newTrimmer(t, []string{"a"}, nil)
	for _, raw := range []string{"", " ", "null", `"a"`, `[{"a":1}]`, `{"a":1`, `{"a":1}x`, `{"a":}`, strings.Repeat(`{"b":`, 2000) + "1" + strings.Repeat("}", 2000)} {
		rec := newRecord("audits", []byte(raw))
		got, err := trimmer.Trim([]byte("before"), &rec)
		if err == nil || string(got) != "before" {
			t.Errorf("%.20q: %s, %v", raw, got, err)
		}
	}
}

// TestHashNeedsItsKey: another key makes another hash of everything, and the hash is not one that anybody could make.
func TestHashNeedsItsKey(t *testing.T) {
	rec := newRecord("audits", []byte(`{"u":"anna@contoso.com"}`))
	seen := map[string]bool{}
	for _, key := range []string{testKey, "another key of sixteen bytes"} {
		trimmer, err := NewTrimmer(Config{HashFields: []string{"u"}, HashKeyFile: keyFile(t, key)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := trimmer.Trim(nil, &rec)
		if want := `{"u":"` + hashOf(key, "anna@contoso.com") + `"}`; err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
		seen[string(got)] = true
	}
	if len(seen) != 2 {
		t.Error("two keys make one hash")
	}
	for name, c := range map[string]Config{
		"short":   {HashFields: []string{"u"}, HashKeyFile: keyFile(t, "fifteen bytes..\n")},
		"missing": {HashFields: []string{"u"}, HashKeyFile: filepath.Join(t.TempDir(), "none")},
		"large":   {HashFields: []string{"u"}, HashKeyFile: keyFile(t, strings.Repeat("k", mostKey+1))},
		"folder":  {HashFields: []string{"u"}, HashKeyFile: t.TempDir()},
	} {
		if _, err := NewTrimmer(c); err == nil || strings.Contains(err.Error(), "fifteen") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestManyAtOnce: lanes share nothing but what is locked.
func TestManyAtOnce(t *testing.T) {
	trimmer := newTrimmer(t, []string{"status"}, []string{"userPrincipalName"})
	filter := newFilter(t, Rule{Conditions: Conditions{User: Words{"user1@*"}}})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			name := fmt.Sprintf("user%d@contoso.com", i)
			rec := newRecord("signins.interactive", fmt.Appendf(nil, `{"status":{"errorCode":0},"userPrincipalName":"%s"}`, name))
			want := `{"userPrincipalName":"` + hashOf(testKey, name) + `"}`
			for range 500 {
				if got, err := trimmer.Trim(nil, &rec); err != nil || string(got) != want || filter.Keep(&rec) != (i == 1) {
					t.Errorf("%s: %s, %v", name, got, err)
					return
				}
			}
		})
	}
	work.Wait()
}

func TestTrimDoesNotAllocate(t *testing.T) {
	trimmer := newTrimmer(t, []string{"ipAddress", "location.geoCoordinates"}, []string{"userPrincipalName", "userDisplayName"})
	rec := samples(t)["signins.interactive-success-mfa"]
	dst := make([]byte, 0, 64<<10)
	if n := leastAllocs(func() {
		if _, err := trimmer.Trim(dst[:0], &rec); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for a record", n)
	}
}

// leastAllocs is the least that f takes: the race detector empties a pool now and then.
func leastAllocs(f func()) float64 {
	least := testing.AllocsPerRun(1, f)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

func BenchmarkTrim(b *testing.B) {
	trimmer := newTrimmer(b, []string{"ipAddress", "location.geoCoordinates", "deviceDetail"}, []string{"userPrincipalName", "userDisplayName", "userId"})
	rec := samples(b)["signins.interactive-success-mfa"]
	b.SetBytes(int64(len(rec.Raw)))
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = trimmer.Trim(dst[:0], &rec); err != nil {
			b.Fatal(err)
		}
	}
}
