package entra

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// legacyConfig is testConfig for Azure AD Graph.
func legacyConfig(t testing.TB, change func(*Config)) Config {
	return testConfig(t, func(c *Config) {
		c.API = "azuread"
		if change != nil {
			change(c)
		}
	})
}

func TestLegacyConfig(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   []string
		says   string
	}{
		{"default streams", nil, nil, ""},
		{"all that is offered", func(c *Config) {
			c.Cloud, c.APIVersion, c.Streams, c.Top = "usgov", "beta", []string{"signins.*", "a*"}, 10
			c.Filters = map[string]string{"signins.interactive": "loginStatus eq '0'"}
		}, nil, ""},
		{"version", func(c *Config) { c.APIVersion = "v1.0" }, []string{"api_version"}, "beta alone"},
		{"another kind", func(c *Config) { c.Streams = []string{"audits", "signins.noninteractive"} }, []string{"streams[1]"}, "interactive sign-ins alone"},
		{"another report", func(c *Config) { c.Streams = []string{"provisioning", "risk.*"} }, []string{"streams[0]", "streams[1]"}, "Azure AD Graph has no such report"},
		{"no stream", func(c *Config) { c.Streams = []string{"signin"} }, []string{"streams[0]"}, "matches no stream"},
		{"no host known", func(c *Config) { c.Cloud = "usgov-dod" }, []string{"cloud"}, "login_url and graph_url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := legacyConfig(t, c.change).Validate()
			if got := fields(t, err); !slices.Equal(got, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("faults %q, want %q: %v", got, c.want, err)
			}
		})
	}
	names, err := legacyConfig(t, func(c *Config) { c.Streams = []string{"*"} }).StreamNames()
	if err != nil || !slices.Equal(names, []string{"signins.interactive", "audits"}) {
		t.Errorf("* is %q, %v", names, err)
	}
}

func TestLegacyPlaces(t *testing.T) {
	for _, c := range []struct{ cloud, login, graph, name, signsInAt, at, resource string }{
		{"", "", "", "global", "https://login.microsoftonline.com", "https://graph.windows.net", "https://graph.windows.net"},
		{"", "https://login.windows.net/", "", "global", "https://login.windows.net", "https://graph.windows.net", "https://graph.windows.net"},
		{"", "https://login.microsoftonline.com", "", "global", "https://login.microsoftonline.com", "https://graph.windows.net", "https://graph.windows.net"},
		{"global", "", "https://private.example.com", "global", "https://login.microsoftonline.com", "https://private.example.com", "https://graph.windows.net"},
		{"usgov", "", "", "usgov", "https://login.microsoftonline.us", "https://graph.microsoftazure.us", "https://graph.microsoftazure.us"},
		{"", "https://login.example.com", "https://graph.example.com:8443/", "graph.example.com:8443", "https://login.example.com", "https://graph.example.com:8443", "https://graph.example.com:8443"},
	} {
		cfg := Config{API: "azuread", Cloud: c.cloud, LoginURL: c.login, GraphURL: c.graph}
		p, err := cfg.place()
		if err != nil || p.name != c.name || p.login.String() != c.signsInAt || p.graph.String() != c.at || cfg.dialect().resource(p.scope) != c.resource {
			t.Errorf("%+v: %+v %v", c, p, err)
		}
	}
}

// TestLegacyURL: no $top that the configuration does not ask for, not even where the time line wants smaller pages.
func TestLegacyURL(t *testing.T) {
	base, _ := url.Parse("https://graph.windows.net")
	hour := event.Slice{From: from, To: from.Add(time.Hour), Top: 7}
	for _, c := range []struct {
		stream, own string
		top         int
		want        string
	}{
		{"signins.interactive", "", 0, "signinEvents?api-version=beta&$filter=signinDateTime%20ge%202026-01-01T00%3A00%3A00Z%20and%20signinDateTime%20le%202026-01-01T01%3A00%3A00Z"},
		{"audits", "", 0, "audit?api-version=beta&$filter=activityDate%20ge%202026-01-01T00%3A00%3A00Z%20and%20activityDate%20le%202026-01-01T01%3A00%3A00Z"},
		{"audits", "activityStatus eq -1", 50, "audit?api-version=beta&$top=50&$filter=%28activityStatus%20eq%20-1%29%20and%20activityDate%20ge%202026-01-01T00%3A00%3A00Z%20and%20activityDate%20le%202026-01-01T01%3A00%3A00Z"},
	} {
		row, _ := legacyLookup(c.stream)
		got := legacyURL(row, base, Config{Tenant: "contoso.com", Top: c.top, Filters: map[string]string{c.stream: c.own}}, hour)
		if want := "https://graph.windows.net/contoso.com/activities/" + c.want; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

// legacyWorld is a simulated Azure AD Graph with an hour of records, and a fetcher that reads it in memory.
func legacyWorld(t *testing.T, rate float64, o simulator.Options, change func(*Config)) (*simulator.Server, *Fetcher, event.Slice) {
	t.Helper()
	since := time.Now().Add(-2 * time.Hour).UTC()
	o.Seed = 7
	for _, stream := range []string{"signins.interactive", "audits"} {
		o.Generate = append(o.Generate, simulator.Generate{Stream: stream, Rate: rate, Since: since, Until: since.Add(time.Hour)})
	}
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(simulator.DefaultClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := legacyConfig(t, func(c *Config) {
		c.Tenant, c.Auth = simulator.DefaultDomain, auth.Config{ClientID: simulator.DefaultClientID, ClientSecretFile: secret}
		if change != nil {
			change(c)
		}
	})
	f, err := New(cfg, Options{Transport: sim.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return sim, f, event.Slice{Reader: "backfill", From: since, To: since.Add(time.Hour)}
}

// digests reads a slice and halves it as the time line does where a smaller one may do; it gives each record's digest by its
// id, and how many slices it has read.
func digests(t *testing.T, f *Fetcher, s event.Slice, into map[string]event.Digest) (slices int) {
	t.Helper()
	for page, err := range f.Fetch(t.Context(), s) {
		if err != nil {
			half := s.To.Sub(s.From) / 2
			if !HalveHint(err) || half < time.Second {
				t.Fatal(err)
			}
			left, right := s, s
			left.To, right.From = s.From.Add(half), s.From.Add(half)
			return 1 + digests(t, f, left, into) + digests(t, f, right, into)
		}
		for _, r := range page.Records {
			if known, ok := into[r.ID]; ok && known != r.Digest || r.Flags != 0 || r.Time.Before(s.From.Add(-time.Second)) || r.Time.After(s.To.Add(time.Second)) {
				t.Errorf("%s %s has digest %x, before %x, flags %b", r.ID, r.Time, r.Digest, known, r.Flags)
			}
			into[r.ID] = r.Digest
		}
	}
	return 1
}

// expected are the ids of a stream's records.
func expected(sim *simulator.Server, stream string) (ids []string) {
	for row := range sim.Expected(time.Now()) {
		if row.Stream == stream {
			ids = append(ids, row.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestLegacySimulator reads both streams over several pages, through either sign-in host, and finds each record; a record's
// digest does not depend on the page that it comes in.
func TestLegacySimulator(t *testing.T) {
	for _, login := range []string{"", "https://login.windows.net"} {
		synctest.Test(t, func(t *testing.T) {
			sim, f, slice := legacyWorld(t, 1, simulator.Options{}, func(c *Config) { c.LoginURL = login })
			for _, stream := range []string{"signins.interactive", "audits"} {
				slice.Stream = stream
				whole, parts := map[string]event.Digest{}, map[string]event.Digest{}
				digests(t, f, slice, whole)
				for part := range 7 {
					s := slice
					s.From, s.To = slice.From.Add(time.Duration(part)*time.Hour/7), slice.From.Add(time.Duration(part+1)*time.Hour/7)
					digests(t, f, s, parts)
				}
				if want := expected(sim, stream); len(want) != 3600 || !slices.Equal(sorted(whole), want) {
					t.Errorf("%s: %d records, want %d", stream, len(whole), len(want))
				}
				for id, digest := range whole {
					if parts[id] != digest {
						t.Fatalf("%s: %s has digest %x, in another page %x", stream, id, digest, parts[id])
					}
				}
			}
			if tenant, err := f.Tenant(t.Context()); tenant != simulator.DefaultTenantID || err != nil {
				t.Errorf("tenant %q, %v", tenant, err)
			}
		})
	}
}

func sorted(m map[string]event.Digest) (ids []string) {
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// TestLegacySilence: a slice is given up before the API falls silent, and smaller ones are complete. So it is where $top cuts
// the answer.
func TestLegacySilence(t *testing.T) {
	for _, c := range []struct {
		name   string
		top    int
		slices int // at least: with less, something was taken for the end that was none
		says   string
	}{
		{"a million rows", 0, 3, "falls silent after 1000000"},
		{"top", 900, 7, "the 900 rows that top asks for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, f, slice := legacyWorld(t, 1, simulator.Options{SilentAfter: 2000}, func(c2 *Config) { c2.Top = c.top })
				slice.Stream = "signins.interactive"
				row := f.rows[slice.Stream]
				if row.MostRows != 500_000 {
					t.Errorf("%d rows are the most of a slice", row.MostRows)
				}
				row.MostRows = 1000 // half of what the simulator gives, as 500,000 is of a million
				f.rows[slice.Stream] = row
				_, _, err := all(t.Context(), f, slice)
				if KindOf(err) != KindRows || !HalveHint(err) || fault.Of(err) != fault.Retryable || !strings.Contains(err.Error(), c.says) {
					t.Errorf("kind %q: %v", KindOf(err), err)
				}
				got := map[string]event.Digest{}
				if n := digests(t, f, slice, got); n < c.slices {
					t.Errorf("%d slices", n)
				}
				if want := expected(sim, slice.Stream); !slices.Equal(sorted(got), want) {
					t.Errorf("%d records, want %d", len(got), len(want))
				}
			})
		})
	}
}
