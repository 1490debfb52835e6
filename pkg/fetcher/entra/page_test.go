package entra

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

func newSplitter(stream string) *splitter {
	row, _ := Lookup(stream)
	return &splitter{timeMember: row.TimeMember, volatile: row.Volatile, template: event.Record{Time: from}}
}

func TestSplitRows(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	for _, c := range []struct {
		name, row string
		id        string // "": the digest
		time      time.Time
		flags     event.Flags
	}{
		{name: "plain", row: `{"id":"a","activityDateTime":"2026-01-01T00:00:01.1234567Z"}`, id: "a", time: at("2026-01-01T00:00:01.1234567Z")},
		{name: "spaces", row: "{ \"activityDateTime\" : \"2026-01-01T02:00:00+02:00\" , \"id\" :\n\"a\" }", id: "a", time: at("2026-01-01T00:00:00Z")},
		{name: "escapes", row: `{"id":"\u0061\/b","activityDateTime":"2026-01-01T00\u003a00:00Z"}`, id: "a/b", time: at("2026-01-01T00:00:00Z")},
		{name: "id further down", row: `{"user":{"id":"x","activityDateTime":"2020-01-01T00:00:00Z"},"id":"a","activityDateTime":"2026-01-01T00:00:00Z"}`, id: "a", time: at("2026-01-01T00:00:00Z")},
		{name: "no id", row: `{"activityDateTime":"2026-01-01T00:00:00Z"}`, time: at("2026-01-01T00:00:00Z"), flags: event.FlagNoID},
		{name: "empty id", row: `{"id":"","activityDateTime":"2026-01-01T00:00:00Z"}`, time: at("2026-01-01T00:00:00Z"), flags: event.FlagNoID},
		{name: "id that is no text", row: `{"id":5,"activityDateTime":"2026-01-01T00:00:00Z"}`, time: at("2026-01-01T00:00:00Z"), flags: event.FlagNoID},
		{name: "no time", row: `{"id":"a"}`, id: "a", time: from, flags: event.FlagNoTime},
		{name: "null time", row: `{"id":"a","activityDateTime":null}`, id: "a", time: from, flags: event.FlagNoTime},
		{name: "zero time", row: `{"id":"a","activityDateTime":"0001-01-01T00:00:00Z"}`, id: "a", time: from, flags: event.FlagNoTime},
		{name: "time that is none", row: `{"id":"a","activityDateTime":"yesterday"}`, id: "a", time: from, flags: event.FlagNoTime},
		{name: "null", row: `null`, time: from, flags: event.FlagNoID | event.FlagNoTime},
		{name: "number", row: `17`, time: from, flags: event.FlagNoID | event.FlagNoTime},
		{name: "array", row: `[{"id":"a"}]`, time: from, flags: event.FlagNoID | event.FlagNoTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newSplitter("audits")
			body := `{"x":{"value":[1]}, "value": [ ` + c.row + ` , ` + c.row + "\n] }"
			if err := p.split([]byte(body)); err != nil {
				t.Fatal(err)
			}
			if len(p.records) != 2 || p.next != "" {
				t.Fatalf("%d records, next %q", len(p.records), p.next)
			}
			for _, r := range p.records {
				want := c.id
				if want == "" {
					want = fmt.Sprintf("%016x", uint64(r.Digest))
				}
				if r.ID != want || !r.Time.Equal(c.time) || r.Flags != c.flags || string(r.Raw) != c.row {
					t.Errorf("record %q %s flags %d raw %s", r.ID, r.Time, r.Flags, r.Raw)
				}
				if r.Time.Location() != time.UTC || r.Digest == 0 || uint64(r.Digest) != digestOf(t, c.row) {
					t.Errorf("zone %s, digest %x", r.Time.Location(), uint64(r.Digest))
				}
			}
		})
	}
}

func TestSplitNextLink(t *testing.T) {
	for body, want := range map[string]string{
		`{"@odata.nextLink":"https:\/\/example.com\u002fx","value":[]}`: "https://example.com/x",
		`{"value":[],"@odata.nextLink":"n"}`:                            "n",
		`{"value":[],"@odata.nextLink":null}`:                           "",
		`{"value":[],"@odata.nextLink":""}`:                             "",
		`{"odata.nextLink":"old","value":[]}`:                           "old",
		`{"@odata.nextLink":"n","value":[],"odata.nextLink":null}`:      "n",
		`{"v\u0061lue":[]}`:                                             "",
	} {
		p := newSplitter("audits")
		if err := p.split([]byte(body)); err != nil || p.next != want {
			t.Errorf("%s: next %q, %v, want %q", body, p.next, err, want)
		}
	}
}

// TestSplitVolatile: members that the table calls volatile do not make an update; others and nested ones do.
func TestSplitVolatile(t *testing.T) {
	digest := func(row string) event.Digest {
		p := newSplitter("risk.users")
		if err := p.split([]byte(`{"value":[` + row + `]}`)); err != nil {
			t.Fatal(err)
		}
		return p.records[0].Digest
	}
	base := digest(`{"id":"a","isProcessing":true}`)
	if digest(`{"isProcessing":false,"id":"a"}`) != base || digest(`{"id":"a"}`) != base {
		t.Error("isProcessing counts")
	}
	if digest(`{"id":"a","isDeleted":false}`) == base || digest(`{"id":"a","x":{"isProcessing":true}}`) == base {
		t.Error("too much is left out")
	}
}

// TestSplitWholePage: whatever byte of a page is missing at its end, nothing of it counts.
func TestSplitWholePage(t *testing.T) {
	body := auditPage(0, 2, "https://graph.microsoft.com/x")
	for n := range len(body) {
		if err := newSplitter("audits").split([]byte(body[:n])); err == nil {
			t.Fatalf("page cut at %d of %d was taken", n, len(body))
		}
	}
}

// FuzzSplit: a page that is taken is valid JSON, and encoding/json sees the same rows, ids and link.
func FuzzSplit(f *testing.F) {
	f.Add([]byte(auditPage(0, 3, "https://graph.microsoft.com/x")))
	f.Add([]byte(`{"value":[],"odata.nextLink":"x"}`))
	f.Add([]byte(`{"value":[null,1,"a",[],{"id":"\ud83d\ude00"}],"@odata.nextLink":null}`))
	f.Add([]byte(`{"value":[{"id":"x"{"error":{}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := newSplitter("audits")
		err := p.split(body)
		var page map[string]json.RawMessage
		jsonErr := json.Unmarshal(body, &page)
		if err != nil {
			return
		}
		if jsonErr != nil {
			t.Fatalf("taken, but encoding/json says %v", jsonErr)
		}
		if hasTwin(body) {
			return
		}
		var rows []json.RawMessage
		if err := json.Unmarshal(page["value"], &rows); err != nil || len(rows) != len(p.records) {
			t.Fatalf("%d rows, want %d (%v)", len(p.records), len(rows), err)
		}
		for i, r := range p.records {
			if !bytes.Equal(bytes.TrimSpace(rows[i]), r.Raw) {
				t.Errorf("row %d is %s, want %s", i, r.Raw, rows[i])
			}
			var members map[string]any
			_ = json.Unmarshal(rows[i], &members)
			if id, _ := members["id"].(string); id != "" && !escapedKey(rows[i]) && id != r.ID {
				t.Errorf("row %d has id %q, want %q", i, r.ID, id)
			}
		}
		var next string
		if raw, ok := page["@odata.nextLink"]; ok {
			_ = json.Unmarshal(raw, &next)
		}
		if raw, ok := page["odata.nextLink"]; ok && next == "" {
			_ = json.Unmarshal(raw, &next)
		} else if ok {
			return // both: the last one that says something counts
		}
		if next != p.next {
			t.Errorf("next %q, want %q", p.next, next)
		}
	})
}

// escapedKey tells whether a row may spell "id" with escapes, which the splitter does not look for within rows.
func escapedKey(row []byte) bool { return bytes.IndexByte(row, '\\') >= 0 }

// signInRow is a sign-in of about 2.8 KB with the members and the nesting that beta shows.
func signInRow(i int) string {
	at := from.Add(time.Duration(i) * time.Second).Format("2006-01-02T15:04:05.0000000Z")
	policies := make([]string, 4)
	for p := range policies {
		policies[p] = fmt.Sprintf(`{"id":"00000000-0000-4000-8000-00000000000%d","displayName":"Policy %d for all users","enforcedGrantControls":["Mfa"],"enforcedSessionControls":[],"result":"notApplied","conditionsSatisfied":"application,users","conditionsNotSatisfied":"none"}`, p, p)
	}
	return fmt.Sprintf(`{"id":"%08x-0000-4000-8000-000000000000","createdDateTime":%q,"userDisplayName":"Test User %d","userPrincipalName":"user%d@contoso.com","userId":"%08x-1111-4000-8000-000000000000","appId":"22222222-2222-4222-8222-222222222222","appDisplayName":"Example Portal","ipAddress":"192.0.2.%d","ipAddressFromResourceProvider":null,"clientAppUsed":"Browser","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36","correlationId":"%08x-3333-4000-8000-000000000000","conditionalAccessStatus":"notApplied","originalRequestId":"","isInteractive":true,"tokenIssuerName":"","tokenIssuerType":"AzureAD","processingTimeInMilliseconds":%d,"riskDetail":"none","riskLevelAggregated":"none","riskLevelDuringSignIn":"none","riskState":"none","riskEventTypes_v2":[],"resourceDisplayName":"Example Resource","resourceId":"44444444-4444-4444-8444-444444444444","resourceTenantId":"55555555-5555-4555-8555-555555555555","homeTenantId":"55555555-5555-4555-8555-555555555555","authenticationMethodsUsed":["Password"],"authenticationRequirement":"singleFactorAuthentication","signInEventTypes":["interactiveUser"],"flaggedForReview":false,"autonomousSystemNumber":64500,"status":{"errorCode":0,"failureReason":"Other.","additionalDetails":null},"deviceDetail":{"deviceId":"","displayName":"","operatingSystem":"Windows10","browser":"Chrome 120.0.0","isCompliant":false,"isManaged":false,"trustType":""},"location":{"city":"Example City","state":"Example State","countryOrRegion":"XX","geoCoordinates":{"altitude":null,"latitude":10.5,"longitude":-20.25}},"appliedConditionalAccessPolicies":[%s],"authenticationProcessingDetails":[{"key":"Login Hint Present","value":"True"},{"key":"Is CAE Token","value":"False"}],"networkLocationDetails":[],"authenticationDetails":[{"authenticationStepDateTime":%q,"authenticationMethod":"Password","authenticationMethodDetail":"Password in the cloud","succeeded":true,"authenticationStepResultDetail":"Correct password","authenticationStepRequirement":"Primary authentication"}]}`,
		i, at, i, i, i, i%250, i, i%500, strings.Join(policies, ","), at)
}

func signInPage(rows int) []byte {
	all := make([]string, rows)
	for i := range all {
		all[i] = signInRow(i)
	}
	return []byte(`{"value":[` + strings.Join(all, ",") + `]}`)
}

// BenchmarkSplit splits and digests pages of 1,000 sign-ins. The aim is 5 s for a million of them (5,000 ns a record).
func BenchmarkSplit(b *testing.B) {
	body := signInPage(1000)
	p := newSplitter("signins.interactive")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.split(body); err != nil || p.timed != 1000 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
	b.ReportMetric(float64(len(body))/1000, "bytes/record")
}

func TestSplitAllocations(t *testing.T) {
	body := signInPage(100)
	p := newSplitter("signins.interactive")
	if n := testing.AllocsPerRun(10, func() { _ = p.split(body) }); n > 101 {
		t.Errorf("%v allocations for 100 rows, want the ids only", n)
	}
	again := newSplitter("signins.interactive")
	if err := again.split(body); err != nil || !reflect.DeepEqual(again.records, p.records) {
		t.Error("used memory changes the result")
	}
}
