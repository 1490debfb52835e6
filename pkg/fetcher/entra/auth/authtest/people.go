package authtest

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// IdentityHeader is what App Service gives a process to show.
const IdentityHeader = "identity-header-7Hq2/canary+value"

// device is one sign-in that waits for a person.
type device struct {
	user     string
	until    time.Time
	polled   time.Time
	interval time.Duration
	no       *Refusal
	done     bool
}

// interval and life are those of the platform.
const (
	interval = 5 * time.Second
	codeLife = 15 * time.Minute
)

// begin gives out a device code.
func (a *Authority) begin(w http.ResponseWriter, r *http.Request) {
	if r.PostForm.Get("client_id") != Client || r.PostForm.Get("scope") == "" {
		a.no(w, r, refuse(400, "unauthorized_client", 700016))
		return
	}
	code := "device-" + rand.Text()
	every := cmp.Or(a.Every, interval)
	d := &device{user: rand.Text()[:9], until: a.now().Add(codeLife), polled: a.now(), interval: every}
	if a.devices == nil {
		a.devices = map[string]*device{}
	}
	a.devices[code] = d
	a.issued = append(a.issued, code)
	_ = json.NewEncoder(w).Encode(map[string]any{"device_code": code, "user_code": d.user, "verification_uri": "https://login.example.com/device",
		"expires_in": int(codeLife.Seconds()), "interval": int(every.Seconds()), "message": "sign in"})
}

// Enter has somebody enter a user code, and be refused for no, or not at all with nil.
func (a *Authority) Enter(user string, no *Refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.devices {
		if d.user == user {
			d.done, d.no = no == nil, no
		}
	}
}

// Slow has everybody who polls be told once to poll less often.
func (a *Authority) Slow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.devices {
		d.interval += 5 * time.Second
	}
}

// Revoke ends all refresh tokens.
func (a *Authority) Revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.refresh)
}

func (a *Authority) poll(code string) *Refusal {
	d, now := a.devices[code], a.now()
	switch {
	case d == nil:
		return refuse(400, "bad_verification_code", 70018)
	case !now.Before(d.until):
		return refuse(400, "expired_token", 70019)
	case now.Sub(d.polled) < d.interval:
		d.polled = now
		return refuse(400, "slow_down", 0)
	}
	d.polled = now
	switch {
	case d.no != nil:
		return d.no
	case !d.done:
		return refuse(400, "authorization_pending", 70016)
	}
	delete(a.devices, code)
	return nil
}

// machine answers as the metadata service of a virtual machine and as App Service do.
func (a *Authority) machine(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	version, shown := "2018-02-01", r.Header.Get("Metadata") == "true" && r.Header.Get("X-Forwarded-For") == ""
	if r.URL.Path == "/msi/token" {
		version, shown = "2019-08-01", r.Header.Get("X-Identity-Header") == IdentityHeader
	}
	client := query.Get("client_id")
	switch {
	case r.Method != http.MethodGet, query.Get("api-version") != version, !shown, query.Get("resource") == "" || query.Has("scope"):
		a.no(w, r, refuse(400, "bad_request", 0))
	case a.fail != nil:
		a.no(w, r, a.fail)
	case a.Users == 0, client != "" && (client != Client || a.Users < 2):
		a.no(w, r, refuse(400, "invalid_request", 0))
	default: // numbers as strings
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": a.access(query.Get("resource")), "token_type": "Bearer", "resource": query.Get("resource"),
			"expires_on": fmt.Sprint(a.now().Add(time.Hour).Unix()), "client_id": Client})
	}
}
