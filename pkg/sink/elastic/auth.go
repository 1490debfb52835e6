package elastic

import (
	"encoding/base64"
	"strings"

	"github.com/logferry/logferry/pkg/sink/post"
)

// newCredential is the one way to sign in of the configuration, or none.
func newCredential(cfg Config) post.Credential {
	switch {
	case cfg.APIKeyFile != "":
		c := post.Plain("ApiKey", "api_key_file", cfg.APIKeyFile)
		c.Encode = encodeKey
		return c
	case cfg.BearerTokenFile != "":
		return post.Plain("Bearer", "bearer_token_file", cfg.BearerTokenFile)
	case cfg.User != "":
		return post.Basic(cfg.User, "password_file", cfg.PasswordFile)
	}
	return post.Credential{}
}

// encodeKey takes a key of the form id:api_key, too, which Kibana shows.
func encodeKey(key string) string {
	if strings.Contains(key, ":") {
		return base64.StdEncoding.EncodeToString([]byte(key))
	}
	return key
}
