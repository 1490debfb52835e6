package auth

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/oauth2"

	"github.com/logferry/logferry/pkg/fault"
)

// advice says what to mend and by whom, by the number in "AADSTSnnn: ..". A key with a way in front is for that way alone.
// Source: https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
var advice = map[string]string{
	"7000215": "the client secret is wrong: client_secret_file must hold the secret's value, not its id",
	"7000222": "the client secret has expired: create a new one in the app registration and put it into client_secret_file",
	"7000218": "the sign-in service saw no client secret: client_secret_file is empty, or the app allows public clients only",
	"700016":  "the tenant has no such app: check client_id and tenant, and that an administrator has consented",
	"7000229": "the app has no service principal in the tenant: an administrator has to consent to it there",
	"7000112": "the app is disabled: an administrator has to enable it under enterprise applications",
	"700025":  "the app is a public client, which must not send a credential: whoever owns the app registration has to allow confidential clients",
	"90002":   "there is no such tenant in this cloud: check tenant and cloud",
	"900023":  "tenant is neither a GUID nor a verified domain",
	"900382":  "the tenant lives in another cloud: check cloud",
	"900384":  "the request was refused as malformed: check tenant and client_id",
	"500011":  "the tenant does not know the Graph address as a resource: check cloud and graph_url",
	"500014":  "the resource's service principal is disabled in the tenant: an administrator has to enable it under enterprise applications",
	"1002012": "the scope was refused: graph_url must be the Graph host without a path",
	"53003":   "conditional access for workload identities blocks the app from this address: a Conditional Access Administrator has to let it through",

	// Consent.
	"65001": "nobody has consented to what the app asks for: a Privileged Role Administrator has to grant admin consent under API permissions",
	"65004": "the user has declined to consent: sign in again and accept, or have an administrator consent",
	"90094": "consent is an administrator's matter here: a Privileged Role Administrator has to grant admin consent under API permissions",
	"90095": "consent waits for an administrator's review: a Privileged Role Administrator has to approve the request",
	"50105": "the user is not assigned to the app: an administrator has to assign the user under enterprise applications",

	// Certificates.
	"700027": "the client assertion is not accepted: its certificate is not registered with the app, or has ended: the app registration's owner has to upload its public half under Certificates & secrets",
	"50027":  "the client assertion is not accepted: the app registration's owner has to check the certificate under Certificates & secrets",

	"certificate_file 700024": "the client assertion's times are refused: this machine's clock is wrong: its administrator has to set it right (NTP)",
	"certificate_file 500133": "the client assertion's times are refused: this machine's clock is wrong: its administrator has to set it right (NTP)",

	// Federated tokens.
	"federated_token_file 700024": "the token in federated_token_file has ended: whoever writes that file (the kubelet, the CI system, a sidecar) has stopped renewing it, or its clock is wrong",
	"federated_token_file 500133": "the token in federated_token_file has ended: whoever writes that file (the kubelet, the CI system, a sidecar) has stopped renewing it, or its clock is wrong",
	"federated_token_file 50013":  "the token in federated_token_file is not signed by its issuer's published keys: the issuer's administrator has to check that the tenant can reach its discovery document",
	"federated_token_file 700027": "the token in federated_token_file is not signed by its issuer's published keys: the issuer's administrator has to check that the tenant can reach its discovery document",
	"federated_token_file 50027":  "federated_token_file holds no valid token: whoever writes that file has to look",

	"70021":  noMatch,
	"700211": noMatch + " (the issuer differs)",
	"700212": noMatch + " (the audience differs)",
	"700213": noMatch + " (the subject differs)",

	// People.
	"device_code 7000218": "the app does not take sign-ins by device code: the app registration's owner has to allow public client flows under Authentication",
	"device_code 53003":   "conditional access blocks this user's sign-in by device code: a Conditional Access Administrator has to let this user and app through, or use a certificate",
	"530036":              "the tenant's policy forbids device codes: a Conditional Access Administrator has to let this user and app through, or use a certificate",
	"50034":               "there is no such user in the tenant: sign in with an account of the configured tenant",
	"50020":               "the user belongs to another tenant: sign in with an account of the configured tenant",
	"50053":               "the user's account is locked: the user has to wait, or a Helpdesk Administrator has to unlock it",
	"50055":               "the user's password has expired: the user has to change it and sign in again",
	"50057":               "the user's account is disabled: a User Administrator has to enable it, or another user has to sign in",
	"50072":               "the user has to register for multi-factor authentication: sign in again and follow it",
	"50074":               "the user has to pass multi-factor authentication: sign in again",
	"50076":               "the user has to pass multi-factor authentication, by a policy or from this place: sign in again",
	"50079":               "the user has to register for multi-factor authentication: sign in again and follow it",
	"50078":               "the user's multi-factor authentication has expired: sign in again",
	"50173":               "the sign-in was revoked, as by a change of password: sign in again",
	"50126":               "user name or password is wrong: sign in again",
	"53000":               "conditional access wants a compliant device: a Conditional Access Administrator has to let this user and app through, or use a certificate",
	"53001":               "conditional access wants a domain-joined device: a Conditional Access Administrator has to let this user and app through, or use a certificate",
	"700082":              "the refresh token has expired because it was not used for too long: sign in again",
	"700084":              "the refresh token has expired: sign in again",
	"70008":               "the refresh token has expired or was revoked: sign in again",
	"700081":              "the refresh token has expired: sign in again",
	"70043":               "the refresh token has expired by the tenant's sign-in frequency policy: sign in again, or have a Conditional Access Administrator make an exception",
	"70019":               "nobody entered the code in time: another one follows",
	"70018":               "the code was not accepted: another one follows",
}

// byWord says it for refusals without a number.
var byWord = map[string]string{
	"access_denied":          "the person has declined to sign in: sign in again",
	"authorization_declined": "the person has declined to sign in: sign in again",
	"expired_token":          "nobody entered the code in time: another one follows",
	"bad_verification_code":  "the code was not accepted: another one follows",
}

const noMatch = "the app trusts no such token: the app registration's owner has to add a federated credential with exactly this issuer, subject and audience"

// transient numbers come with a 400 and pass by themselves.
var transient = map[string]bool{"90033": true, "50196": true}

var numberPattern = regexp.MustCompile(`AADSTS(\d+)`)

// refusal is the service's no, as far as the ways have to tell one from another.
type refusal struct {
	error
	word, number string
}

// Unwrap gives the cause.
func (r *refusal) Unwrap() error { return r.error }

// mistimed tells whether the times of an assertion were refused.
func mistimed(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && (r.number == "700024" || r.number == "500133")
}

// needsPerson tells whether a refresh token was refused for good.
func needsPerson(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && fault.Of(err) == fault.Blocked && (r.word == "invalid_grant" || r.word == "interaction_required")
}

// cleaner cuts secrets out of what is said, in whatever form they come back, and shortens it.
func cleaner(secrets ...string) func(string) string {
	var forms []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		quoted, _ := json.Marshal(secret)
		forms = append(forms, secret, url.QueryEscape(secret), url.PathEscape(secret), string(quoted[1:len(quoted)-1]))
	}
	return func(s string) string {
		for _, form := range forms {
			s = strings.ReplaceAll(s, form, "<redacted>")
		}
		for _, form := range forms { // base64, whatever stands before and behind: only its ends depend on that
			for lead := range 3 {
				for _, code := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
					if core := aligned(code, form, lead); len(core) >= 8 {
						s = strings.ReplaceAll(s, core, "<redacted>")
					}
				}
			}
		}
		if s = strings.Join(strings.Fields(s), " "); len(s) > 400 {
			s = strings.ToValidUTF8(s[:400], "") + ".."
		}
		return s
	}
}

// aligned is the part of s's base64 that is the same whatever surrounds s, where lead bytes of a group of three stand before it.
func aligned(code *base64.Encoding, s string, lead int) string {
	text := code.EncodeToString(append(make([]byte, lead), s...))
	from, to := []int{0, 2, 3}[lead], len(text)
	if (lead+len(s))%3 != 0 {
		to--
	}
	return text[min(from, to):to]
}

// secretsOf are the values of a form that must never be said.
func secretsOf(form url.Values) (all []string) {
	for _, key := range []string{"client_secret", "client_assertion", "refresh_token", "device_code"} {
		all = append(all, form.Get(key))
		if key == "client_assertion" { // the signature alone is a secret as well
			all = append(all, form.Get(key)[strings.LastIndexByte(form.Get(key), '.')+1:])
		}
	}
	return all
}

// explain turns an error of the token request into one of package fault, in the words of who must mend it. What form holds is cut
// out whatever the endpoint has echoed.
func (e endpoint) explain(ctx context.Context, err error, form url.Values, public string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	clean := cleaner(secretsOf(form)...)
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		return transportError(err, clean)
	}
	status, said := refused.Response.StatusCode, clean(refused.ErrorDescription)
	if said == "" {
		said = clean(string(refused.Body))
	}
	// The description goes on with trace and time stamps that differ each time; the first sentence group is what helps.
	said, _, _ = strings.Cut(said, " Trace ID:")
	r := &refusal{word: refused.ErrorCode}
	if m := numberPattern.FindStringSubmatch(refused.ErrorDescription); m != nil {
		r.number = m[1]
	}
	r.error = fmt.Errorf("sign in as app %s: %s: http status %d: %s", e.app, clean(refused.ErrorCode), status, said)
	if after, ok := e.pause(refused.Response); ok {
		return fault.After(after, r)
	}
	if status >= 300 && status < 400 {
		return fault.Block(fmt.Errorf("sign in as app %s: http status %d: the sign-in address redirects, which is refused because the request holds the secret: check login_url", e.app, status))
	}
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || transient[r.number] ||
		r.word == "temporarily_unavailable" || r.word == "server_error" || r.word == "" && status < 400 { // the last is a reply without a token
		return r
	}
	help := cmp.Or(advice[e.word+" "+r.number], advice[r.number], byWord[r.word])
	if help != "" {
		if public != "" {
			help += "; " + clean(public)
		}
		r.error = fmt.Errorf("sign in as app %s: %s (%s: http status %d)", e.app, help, cmp.Or(code(r.number), clean(r.word)), status)
	}
	return fault.Block(r)
}

func code(number string) string {
	if number == "" {
		return ""
	}
	return "AADSTS" + number
}

// transportError judges what went wrong below HTTP, or with a reply that was no token.
func transportError(err error, clean func(string) string) error {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return fault.Block(fmt.Errorf("sign in: the sign-in host's certificate is not trusted: set tls.ca_file if a proxy breaks TLS open: %w", err))
	}
	if text := err.Error(); clean(text) != strings.Join(strings.Fields(text), " ") {
		return fmt.Errorf("sign in: %s", clean(text)) // something was cut out: the chain must not carry it on
	}
	return fmt.Errorf("sign in: %w", err)
}
