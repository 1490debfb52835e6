package post

import (
	"strings"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/field"
)

// Way is a key that says how to sign in.
type Way struct{ Path, Value string } // Value is "" where it is not used

// ValidateSignIn takes one way to sign in, or none, as *field.Error: user with passwordFile, or one of the others.
func ValidateSignIn(user, passwordFile string, others ...Way) []error {
	var ways []string
	for _, way := range append(others, Way{"user", user}) {
		if way.Value != "" {
			ways = append(ways, way.Path)
		}
	}
	switch {
	case len(ways) > 1:
		return []error{field.Errorf(ways[1], "%s: use one way to sign in", strings.Join(ways, " and "))}
	case (user == "") != (passwordFile == ""):
		return []error{field.Errorf("password_file", "user and password_file go together: set both or none")}
	case strings.ContainsFunc(user, func(r rune) bool { return r == ':' || r < ' ' }):
		return []error{field.Errorf("user", "a user's name has no colon and no control characters")}
	}
	return nil
}

// Textual tells whether bodies in the schema are lines of text, which JSON has to quote.
func Textual(schema event.Schema) bool { return schema.Name == "cef" || schema.Name == "leef" }
