package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/logferry/logferry/pkg/fault"
)

// person lets a user sign in once with a device code, and lives on the refresh token for as long as that is renewed: each reply
// holds a new one, which ends 90 days after its last use.
// Source: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-device-code
type person struct {
	app  string
	file string
	o    Options

	proof  proof
	kept   string // the refresh token in the file, as far as we know
	memory string // the newest one
}

// look gives the one proof that there is: the file is read and written by mint.
func (p *person) look() (*proof, error) { return &p.proof, nil }

// mint uses the refresh token. Where there is none, or only a person can help, it asks for one and waits.
func (p *person) mint(ctx context.Context, _ *proof) (*oauth2.Token, error) {
	saved, err := readPrivate(p.file)
	if err != nil {
		return nil, fault.Block(fmt.Errorf("sign in: %w", err))
	}
	if saved != p.kept { // somebody else has signed in, or refreshed
		p.kept, p.memory = saved, saved
	}
	why := "nobody has signed in yet"
	if p.memory != "" {
		token, err := p.v2().exchange(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.memory}, "scope": {p.scope()}}, "")
		if err == nil {
			p.keep(token)
			return token, nil
		}
		if !needsPerson(err) {
			return nil, err
		}
		why = err.Error()
	}
	if p.o.Prompt == nil {
		return nil, fault.Block(fmt.Errorf("sign in: device_code: a person has to sign in, and there is nobody to ask: %s", why))
	}
	token, err := p.ask(ctx, why)
	if err == nil {
		p.keep(token)
	}
	return token, err
}

// v2 is the v2.0 endpoint: the v1 endpoint of the older API has another form of this flow.
func (p *person) v2() endpoint {
	e := endpoint{word: byPerson, app: p.app, Options: p.o}
	if base, v1 := strings.CutSuffix(e.TokenURL, "/oauth2/token"); v1 {
		e.TokenURL = base + "/oauth2/v2.0/token"
	}
	return e
}

// scope asks for all that the app was consented to, and for a refresh token.
func (p *person) scope() string {
	scope := p.o.Scope
	if p.o.Resource != "" {
		scope = strings.TrimSuffix(p.o.Resource, "/") + "/.default"
	}
	return scope + " offline_access"
}

// ask gets a code, has the person told of it, and waits for the sign-in.
func (p *person) ask(ctx context.Context, why string) (*oauth2.Token, error) {
	e := p.v2()
	request := url.Values{"client_id": {p.app}, "scope": {p.scope()}}
	begun, err := e.begin(ctx, strings.TrimSuffix(e.TokenURL, "/token")+"/devicecode", request)
	if err != nil {
		return nil, err
	}
	if begun.Expiry.IsZero() {
		begun.Expiry = time.Now().Add(15 * time.Minute)
	}
	p.o.Prompt(Prompt{URL: begun.VerificationURI, Code: begun.UserCode, Until: begun.Expiry, Why: why})
	flow := oauth2.Config{ClientID: p.app, Scopes: []string{p.scope()}, Endpoint: oauth2.Endpoint{TokenURL: e.TokenURL, AuthStyle: oauth2.AuthStyleInParams}}
	for {
		token, err := flow.DeviceAccessToken(context.WithValue(ctx, oauth2.HTTPClient, e.HTTP), begun)
		switch {
		case err == nil:
			return token, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !time.Now().Before(begun.Expiry):
			return nil, fault.Block(errors.New("sign in: device_code: nobody entered the code in time: another one follows"))
		}
		err = e.explain(ctx, err, url.Values{"device_code": {begun.DeviceCode}}, "")
		if fault.Of(err) == fault.Blocked {
			return nil, err
		}
	}
}

// begin asks for a device code.
func (e endpoint) begin(ctx context.Context, address string, form url.Values) (*oauth2.DeviceAuthResponse, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fault.Block(errors.New("sign in: device_code: the sign-in address is not a URL"))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := e.HTTP.Do(req)
	if err != nil {
		return nil, e.explain(ctx, err, nil, "")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, e.explain(ctx, err, nil, "")
	}
	if resp.StatusCode != http.StatusOK {
		refused := &oauth2.RetrieveError{Response: resp, Body: body}
		var said struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}
		if json.Unmarshal(body, &said) == nil {
			refused.ErrorCode, refused.ErrorDescription = said.Code, said.Description
		}
		return nil, e.explain(ctx, refused, nil, "")
	}
	begun := &oauth2.DeviceAuthResponse{}
	if json.Unmarshal(body, begun) != nil || begun.DeviceCode == "" || begun.UserCode == "" {
		return nil, errors.New("sign in: device_code: the reply holds no code")
	}
	return begun, nil
}

// keep takes the new refresh token and writes it down. Where that fails the sign-in goes on until the process ends.
func (p *person) keep(t *oauth2.Token) {
	if t.RefreshToken == "" && p.memory == p.kept {
		return
	}
	if t.RefreshToken != "" {
		p.memory = t.RefreshToken
	}
	p.proof.note = ""
	if err := writePrivate(p.file, p.memory); err != nil {
		p.proof.note = fmt.Sprintf("the sign-in is lost with the end of this process, because it cannot be kept: %v", err)
		return
	}
	p.kept = p.memory
}
