package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Claims are what we read from an access token. They are not verified: the token is for Graph, not for us, and nothing is
// granted by them here; they only name the tenant and help to explain a refusal.
type Claims struct {
	Tenant string   // tid: the tenant's GUID in lower case; "" for an opaque token
	Roles  []string // roles: the application permissions that were consented to; nil for an opaque token
}

// ParseClaims reads the payload of a JWT (RFC 7519). Anything else gives no claims.
func ParseClaims(token string) Claims {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Claims{}
	}
	var body struct {
		TID   string   `json:"tid"`
		Roles []string `json:"roles"`
	}
	if err := json.Unmarshal(payload, &body); err != nil {
		return Claims{}
	}
	if body.TID != "" && body.Roles == nil {
		body.Roles = []string{} // a token that can be read and grants nothing
	}
	return Claims{Tenant: strings.ToLower(body.TID), Roles: body.Roles}
}
