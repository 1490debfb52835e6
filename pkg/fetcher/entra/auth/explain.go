package auth

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/logferry/logferry/pkg/fault"
)

// advice says what to mend, by the number in "AADSTSnnn: ..". Only numbers that the client credentials grant can meet.
// Source: https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
var advice = map[string]string{
	"7000215": "the client secret is wrong: client_secret_file must hold the secret's value, not its id",
	"7000222": "the client secret has expired: create a new one in the app registration and put it into client_secret_file",
	"7000218": "the sign-in service saw no client secret: client_secret_file is empty, or the app allows public clients only",
	"700016":  "the tenant has no such app: check client_id and tenant, and that an administrator has consented",
	"7000229": "the app has no service principal in the tenant: an administrator has to consent to it there",
	"7000112": "the app is disabled: enable it under enterprise applications",
	"90002":   "there is no such tenant in this cloud: check tenant and cloud",
	"900023":  "tenant is neither a GUID nor a verified domain",
	"900382":  "the tenant lives in another cloud: check cloud",
	"900384":  "the request was refused as malformed: check tenant and client_id",
	"500011":  "the tenant does not know the Graph address as a resource: check cloud and graph_url",
	"1002012": "the scope was refused: graph_url must be the Graph host without a path",
	"53003":   "conditional access for workload identities blocks the app from this address",
	"700027":  "the client assertion is not accepted: its certificate is not registered with the app",
}

// transient numbers come with a 400 and pass by themselves.
var transient = map[string]bool{"90033": true, "50196": true}

var numberPattern = regexp.MustCompile(`AADSTS(\d+)`)

// explain turns an error of the token request into one of package fault, in the words of who must mend it. The secret is cut
// out whatever the endpoint has echoed.
func explain(err error, cfg Config, secret string) error {
	quoted, _ := json.Marshal(secret)
	clean := func(s string) string {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), string(quoted[1 : len(quoted)-1])} {
			s = strings.ReplaceAll(s, form, "<redacted>")
		}
		if s = strings.Join(strings.Fields(s), " "); len(s) > 400 {
			s = s[:400] + ".."
		}
		return s
	}
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
	base := fmt.Errorf("sign in as app %s: %s: http status %d: %s", cfg.ClientID, clean(refused.ErrorCode), status, said)
	if after, ok := fault.RetryAfter(refused.Response.Header, time.Now()); ok && (status == http.StatusTooManyRequests || status >= 500) {
		return fault.After(after, base)
	}
	number := ""
	if m := numberPattern.FindStringSubmatch(refused.ErrorDescription); m != nil {
		number = m[1]
	}
	if status >= 300 && status < 400 {
		return fault.Block(fmt.Errorf("sign in as app %s: http status %d: the sign-in address redirects, which is refused because the request holds the secret: check login_url", cfg.ClientID, status))
	}
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || transient[number] {
		return base
	}
	if help, ok := advice[number]; ok {
		return fault.Block(fmt.Errorf("sign in as app %s: %s (AADSTS%s: http status %d)", cfg.ClientID, help, number, status))
	}
	switch refused.ErrorCode {
	case "temporarily_unavailable", "server_error":
		return base
	case "":
		if status < 400 {
			return base // a reply without a token
		}
	}
	return fault.Block(base)
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
