package collector

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/sink/post"
)

// hints are what an operator has to do about a status.
var hints = map[int]string{
	http.StatusUnauthorized:         "check the credentials (bearer_token_file, user and password_file, oauth2 or secret_headers) and that they have not expired",
	http.StatusForbidden:            "the credentials may not write there: grant it, or check endpoints and secret_headers",
	http.StatusNotFound:             "nothing takes events there: check the path in endpoints",
	http.StatusMethodNotAllowed:     "check method and the path in endpoints",
	http.StatusNotAcceptable:        "check content_type and format",
	http.StatusProxyAuthRequired:    "the proxy asks for credentials: check proxy and what stands between",
	http.StatusGone:                 "nothing takes events there any more: check endpoints",
	http.StatusUnsupportedMediaType: "check content_type and format, or set compression: none",
	http.StatusMultiStatus:          "the collector judges events one by one, in words that this sink does not know: use a path that takes a request as a whole",
}

// judge says what the reply to a request to that endpoint means: nil for 2xx alone. What is said of it is without secrets.
func judge(to *url.URL, secrets post.Secrets, r post.Reply) error {
	if r.Status >= 200 && r.Status < 300 && r.Status != http.StatusMultiStatus {
		return nil
	}
	text := post.Line(secrets.Hide(string(r.Body)))
	said := fmt.Sprintf("%s replied with status %d %s", to.Host, r.Status, strconv.Quote(text))
	if hint := hints[r.Status]; hint != "" {
		return fault.Block(fmt.Errorf("%s: %s", said, hint))
	}
	switch {
	case r.Status >= 300 && r.Status < 400:
		return fmt.Errorf("%s: redirected to %q, which is not followed: check endpoints", said, fault.Cut(secrets.Hide(r.Header.Get("Location"))))
	case r.Status == http.StatusRequestEntityTooLarge:
		return fault.TooLarge(fmt.Errorf("%s: lower batch.bytes, or raise the limit of the collector or of what stands between", said), text)
	case r.Status == http.StatusBadRequest && to.Scheme == "http" && strings.Contains(text, "HTTPS"):
		return fault.Block(fmt.Errorf("%s: the endpoint speaks TLS: write https", said))
	case r.Status == http.StatusBadRequest || r.Status == http.StatusUnprocessableEntity:
		return fault.Refuse(errors.New(said), text)
	}
	return post.Later(r.Header, errors.New(said))
}
