package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// addOdd puts records into the graph that a careless reader, mapper or receiver would spoil.
func (g *graph) addOdd(t *testing.T) {
	t.Helper()
	at := g.base.Add(-10 * time.Minute).UTC()
	const layout = "2006-01-02T15:04:05.0000000Z"
	n := 0
	add := func(stream, format string) {
		n++
		when := at.Add(time.Duration(n)*time.Second + 1234567*100*time.Nanosecond)
		member := "createdDateTime"
		if stream == simulator.Audits {
			member = "activityDateTime"
		}
		head := fmt.Sprintf(`"%s":"%s"`, member, when.Format(layout))
		raw := strings.ReplaceAll(format, "TIME", head)
		if err := g.Add(stream, simulator.Record{Raw: []byte(raw), Time: when}); err != nil {
			t.Fatal(err)
		}
	}
	add(simulator.Interactive, `{"id":"odd-letters",TIME,"userDisplayName":"Zoë \"<&>\" \\ 東京 😀 \u00e9 \u2028 \ud83d\ude00 \t\n","appDisplayName":"a]b=c|d"}`)
	add(simulator.Interactive, `{"id":"odd-surrogate",TIME,"userDisplayName":"lone \ud800 half","x":"\u0000"}`)
	add(simulator.Interactive, `{"id":"odd-types",TIME,"userDisplayName":17,"status":"none","location":[1,2],"deviceDetail":null,"riskDetail":{"a":[]}}`)
	add(simulator.NonInteractive, `{"id":"odd-numbers",TIME,"a":9007199254740993,"b":-0,"c":1e300,"d":0.1000000000000000055,"e":1E+2}`)
	add(simulator.NonInteractive, `{"id":"odd-order","z":1,"userId":"00000000-0000-0000-0000-000000000000","userPrincipalName":"O'Hara+tag@contoso.com","a":{"id":"inner"},TIME}`)
	add(simulator.ServicePrincipal, `{"id":"odd-long",TIME,"servicePrincipalName":"`+strings.Repeat("ü", 5000)+`"}`)
	add(simulator.ServicePrincipal, `{"id":"odd-two-names","userPrincipalName":"upn@contoso.com","servicePrincipalId":"sp-2",TIME}`)
	add(simulator.ManagedIdentity, "{ \"id\" : \"odd-blank\",\n\t TIME , \"list\" : [ 1 ,\r\n 2 ] }")
	add(simulator.Audits, `{TIME,"activityDisplayName":"no id","result":"success"}`)
	add(simulator.Audits, `{"id":"odd-deep",TIME,"x":`+strings.Repeat(`{"a":[`, 20)+strings.Repeat(`]}`, 20)+`}`)
	add(simulator.Audits, `{"id":"odd/audit ]\"\\",TIME,"initiatedBy":{"user":null,"app":{"servicePrincipalId":"sp-1"}},"targetResources":[]}`)
}

// addTimeless puts records into the graph that say not when they happened.
func (g *graph) addTimeless(t *testing.T) {
	t.Helper()
	at := g.base.Add(-10 * time.Minute).UTC()
	for i, text := range []string{`{"id":"no-time","activityDisplayName":"x"}`, `{"activityDisplayName":"neither id nor time"}`} {
		if err := g.Add(simulator.Audits, simulator.Record{Raw: []byte(text), Time: at.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
}
