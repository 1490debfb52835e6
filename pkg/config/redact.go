package config

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Redacted is a configuration file as others may see it.
type Redacted struct {
	Path string
	Text string // YAML; without comments
}

// Hidden is a text that was taken out, and what stands in its place.
type Hidden struct{ Text, Instead string }

const redacted = "<redacted>"

// Redact reads the files that Load would read, for somebody else to look at: values of keys that there are not, of headers and of
// parameters are left out, and what does not look like the path that it should be. Variables of the environment stay names. clean takes out
// what looks like a secret in all other texts. No file is opened but these. hidden is what was taken out, so that it can be taken out elsewhere, too:
// an error may quote it. A file that is no YAML is left out as a whole.
func Redact(paths []string, clean func(string) string) (files []Redacted, hidden []Hidden, err error) {
	names, err := expand(paths)
	if err != nil {
		return nil, nil, err
	}
	r := &redactor{clean: clean}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, fmt.Errorf("read configuration: %w", err)
		}
		files = append(files, Redacted{Path: name, Text: r.file(text)})
	}
	return files, r.hidden, nil
}

type redactor struct {
	clean  func(string) string
	hidden []Hidden
	out    strings.Builder
}

func (r *redactor) file(text []byte) string {
	r.out.Reset()
	tree, err := parse(text)
	if err != nil {
		r.hideAll(string(text))
		return "# left out: this is not YAML\n"
	}
	for i, doc := range tree.Docs {
		if i > 0 {
			r.out.WriteString("---\n")
		}
		if doc.Body != nil {
			r.node(doc.Body, reflect.TypeFor[Config](), "", 0)
			r.out.WriteByte('\n')
		}
	}
	return r.out.String()
}

// hideAll hides each word of a file that cannot be read: an error may quote any.
func (r *redactor) hideAll(text string) {
	for _, word := range strings.Fields(text) {
		if word = strings.Trim(word, `"',:{}[]&*`); len(word) >= hiddenLeast && strings.ContainsAny(word, "0123456789") {
			r.hidden = append(r.hidden, Hidden{word, redacted})
		}
	}
}

const hiddenLeast = 8 // bytes: shorter texts stand everywhere

// node writes n, which is to be read into a t (nil: nobody knows what it is), below key.
func (r *redactor) node(n ast.Node, t reflect.Type, key string, depth int) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if glued, is := unglue(n); is && t != nil && t.Kind() == reflect.String {
		r.scalar(glued, t, key)
		return
	}
	switch n := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode: // Load refuses them
		r.hideAll(n.String())
		r.out.WriteString(redacted)
	case *ast.MappingNode:
		r.members(n.Values, t, key, depth)
	case *ast.MappingValueNode:
		r.members([]*ast.MappingValueNode{n}, t, key, depth)
	case *ast.SequenceNode:
		if t != nil && t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		for _, e := range n.Values {
			r.line(depth, "- ")
			r.node(e, t, key, depth+1)
		}
		if len(n.Values) == 0 {
			r.out.WriteString("[]")
		}
	case *ast.StringNode:
		r.scalar(n.Value, t, key)
	case *ast.LiteralNode:
		r.scalar(n.Value.Value, t, key)
	case *ast.NullNode:
		r.out.WriteString("null")
	case ast.ScalarNode:
		r.scalar(n.GetToken().Value, t, key)
	}
}

func (r *redactor) line(depth int, text string) {
	r.out.WriteByte('\n')
	r.out.WriteString(strings.Repeat("  ", depth))
	r.out.WriteString(text)
}

func (r *redactor) members(all []*ast.MappingValueNode, t reflect.Type, key string, depth int) {
	types := map[string]reflect.Type{}
	if t != nil && t.Kind() == reflect.Struct && t != reflect.TypeFor[Schema]() {
		for _, k := range keysOf(t) {
			types[k.name] = k.typ
		}
	}
	if len(all) == 0 {
		r.out.WriteString("{}")
	}
	for _, m := range all {
		name, of := keyOf(m), key
		var in reflect.Type
		switch typ, known := types[name]; {
		case known:
			in, of = typ, name
		case t == reflect.TypeFor[Schema]():
			in, of = reflect.TypeFor[string](), name
		case t != nil && t.Kind() == reflect.Map && !slices.Contains(freeKeys, key):
			in = t.Elem()
		}
		r.line(depth, asYAML(r.clean(name))+": ")
		r.node(m.Value, in, of, depth+1)
	}
}

// freeKeys are blocks whose members the user names and whose values may be credentials.
var freeKeys = []string{"headers", "query", "params"}

// scalar writes a value.
func (r *redactor) scalar(text string, t reflect.Type, key string) {
	// What is between braces may hold anything: ${env:NAME} keeps the name, a default goes.
	shown := envPattern.ReplaceAllStringFunc(text, func(ref string) string {
		m := envPattern.FindStringSubmatch(ref)
		name := "${env:" + m[1] + "}"
		if value, set := os.LookupEnv(m[1]); set {
			r.hide(value, name)
		}
		r.hide(m[3], name)
		return name
	})
	wrong := broken.FindString(envPattern.ReplaceAllString(text, "")) // meant to be a variable: an error quotes this much
	switch {
	case wrong != "", t == nil, isBlockOf(t), secretKey.MatchString(key) && !namesAFile(key) && !strings.HasSuffix(key, "_url"):
		r.hide(text, redacted)
		r.hide(wrong, redacted)
		shown = redacted
	case namesAFile(key):
		if !pathLike(shown) {
			r.hide(text, redacted)
			shown = redacted
		}
	default:
		if clean := r.clean(withoutUser(shown)); clean != shown {
			r.hide(text, redacted)
			for _, part := range credentials.FindAllStringSubmatch(text, -1) {
				r.hide(part[1], redacted)
			}
			shown = clean
		}
		if key == "endpoints" {
			shown = r.withoutTokens(shown)
		}
	}
	r.out.WriteString(asYAML(shown))
}

// isBlockOf tells types whose place no text can take.
func isBlockOf(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !readsText(t) && t != reflect.TypeFor[Schema]()
}

// withoutUser takes user and password out of an address, one without a scheme or with blanks in it included.
func withoutUser(text string) string {
	if scheme, rest, is := strings.Cut(text, "://"); is {
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			return scheme + "://" + redacted + rest[at:]
		}
	}
	return userOfHost.ReplaceAllString(text, redacted+"@")
}

var userOfHost = regexp.MustCompile(`^[^\s/@:]*:[^\s@]*@`)

// withoutTokens takes out of a URL's path what may be a token: who knows the address of some collectors may send there.
func (r *redactor) withoutTokens(text string) string {
	scheme, rest, is := strings.Cut(text, "://")
	host, path, more := strings.Cut(rest, "/")
	if !is || !more {
		return text
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if len(part) >= tokenLeast && strings.ContainsAny(part, "0123456789") && part != redacted {
			r.hide(part, redacted)
			parts[i] = redacted
		}
	}
	return scheme + "://" + host + "/" + strings.Join(parts, "/")
}

const tokenLeast = 20 // bytes

// secretKey are keys under which a secret may have been written in clear, which Load refuses.
var secretKey = regexp.MustCompile(`(?i)secret|passw|token|api_?key|credential|authorization`)

func namesAFile(key string) bool { return strings.HasSuffix(key, "_file") || key == "secret_headers" }

// credentials are the parts of an address that may be one.
var credentials = regexp.MustCompile(`[/:=]([^/:=@&?\s]+)[@&]?`)

// hide takes text, and each of its lines, out elsewhere.
func (r *redactor) hide(text, instead string) {
	all := []string{strings.TrimSpace(text)}
	if strings.Contains(all[0], "\n") {
		all = append(all, strings.Split(all[0], "\n")...)
	}
	for _, text := range all {
		if text = strings.TrimSpace(text); len(text) >= hiddenLeast {
			r.hidden = append(r.hidden, Hidden{text, instead})
		}
	}
}

// pathLike tells a path from a secret that was written where its file should be named.
func pathLike(text string) bool {
	if _, err := os.Stat(text); err == nil {
		return true
	}
	return pathStart.MatchString(text)
}

var pathStart = regexp.MustCompile(`^(/|\./|\.\./|~/|\$\{env:[^}]*\}(/|\\|$)|[A-Za-z]:\\)`)

// unquotable needs no quotes in YAML, nor does it read as anything but text there.
var unquotable = regexp.MustCompile(`^[A-Za-z0-9_./<$][A-Za-z0-9_./<>$*+@=-]*$`)

// asYAML writes a scalar so that YAML reads the same text again.
func asYAML(text string) string {
	if unquotable.MatchString(text) {
		return text
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return redacted
	}
	return strings.TrimSuffix(out.String(), "\n")
}
