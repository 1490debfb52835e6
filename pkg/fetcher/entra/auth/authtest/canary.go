package authtest

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// Leak tells in which form text holds the secret: plain, URL-encoded, or base64 at any of the three places that it can begin at; ""
// if it does not.
func Leak(text, secret string) string {
	if len(secret) < 12 {
		return "the canary is too short to be searched for"
	}
	for name, form := range map[string]string{"plain": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret)} {
		if strings.Contains(text, form) {
			return name
		}
		for _, code := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for lead := range 3 {
				// The first and the last group hold bits of what stands beside.
				encoded := code.EncodeToString(append(make([]byte, lead), form...))
				if strings.Contains(text, encoded[4:len(encoded)/4*4-4]) {
					return "base64 of " + name
				}
			}
		}
	}
	return ""
}
