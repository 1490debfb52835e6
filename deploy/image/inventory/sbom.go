package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// The members of CycloneDX 1.6 that are used here: https://cyclonedx.org/docs/1.6/json/. There is neither a time nor a serial
// number, so that equal binaries have equal lists.
type bom struct {
	BOMFormat    string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type     string   `json:"type"`
	Ref      string   `json:"bom-ref"`
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Scope    string   `json:"scope,omitempty"`
	Hashes   []hash   `json:"hashes,omitempty"`
	Licences []choice `json:"licenses"`
	PURL     string   `json:"purl"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

// choice is one licence by name, or an expression over several.
type choice struct {
	Licence    *licence `json:"license,omitempty"`
	Expression string   `json:"expression,omitempty"`
}

type licence struct {
	ID string `json:"id"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// sbomOf lists the binary with its SHA-256, and its parts. The hash of a part is that of go.sum: of the list of its files' hashes.
func sbomOf(parts []part, binary, version string) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("list parts: %w", err)
	}
	sum := sha256.Sum256(content)
	self := purl("github.com/logferry/logferry", version)
	list := bom{BOMFormat: "CycloneDX", SpecVersion: "1.6", Version: 1, Metadata: metadata{component{
		Type: "application", Ref: self, Name: "logferry", Version: version, PURL: self,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Licences: choices([]string{"Apache-2.0"}),
	}}}
	all := dependency{Ref: self}
	for _, p := range parts {
		ids, err := p.licences()
		if err != nil {
			return nil, err
		}
		c := component{Type: "library", Ref: purl(p.Path, p.Version), Name: p.Path, Version: p.Version, Scope: "required", Licences: choices(ids), PURL: purl(p.Path, p.Version)}
		if p.Sum != "" {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.Sum, "h1:"))
			if err != nil {
				return nil, fmt.Errorf("read sum of %s: %w", p.Path, err)
			}
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(raw)}}
		}
		list.Components = append(list.Components, c)
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	list.Dependencies = []dependency{all}
	text, err := json.MarshalIndent(list, "", "  ")
	return append(text, '\n'), err
}

func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

func choices(ids []string) []choice {
	if len(ids) == 1 {
		return []choice{{Licence: &licence{ids[0]}}}
	}
	return []choice{{Expression: strings.Join(ids, " AND ")}}
}
