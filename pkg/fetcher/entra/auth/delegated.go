package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Delegated tells whether the token acts for a user: it has scopes (claim scp) where an app's own has roles. False for an opaque
// token. It is not verified and only helps to explain a refusal.
func (t Token) Delegated() bool {
	parts := strings.Split(t.Access, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return false
	}
	var body struct {
		Scopes string `json:"scp"`
	}
	return json.Unmarshal(payload, &body) == nil && body.Scopes != ""
}
