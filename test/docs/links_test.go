package docs_test

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	imgPattern  = regexp.MustCompile(`(?:src|srcset|href)="([^"]+)"`)
	codeSpan    = regexp.MustCompile("`[^`\n]*`")
	heading     = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	anchorTag   = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	notInSlug   = regexp.MustCompile(`[^\p{L}\p{N}\-_ ]`)
)

// hosts that documents may link to. No test asks them: a link outside is held against this list and its form alone.
var hosts = []string{
	"buildah.io", "cyclonedx.org", "docs.splunk.com", "github.com", "golangci-lint.run", "grafana.com", "helm.sh", "keepachangelog.com", "kubernetes.io",
	"learn.microsoft.com", "opencontainers.org", "prometheus.io", "reproducible-builds.org", "schema.ocsf.io", "semver.org", "spdx.dev",
	"www.elastic.co", "yaml.org", "json-schema.org", "azure.github.io", "docs.cilium.io", "go.dev", "pkg.go.dev",
}

// slugs are the anchors that GitHub gives the headings of a text.
func slugs(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(unfenced(text), -1) {
		title := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		slug := strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
		for unique, n := slug, 1; ; n++ {
			if !all[unique] {
				all[unique] = true
				break
			}
			unique = slug + "-" + string(rune('0'+n))
		}
	}
	for _, m := range anchorTag.FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	return all
}

// broken says what is wrong with a link of the document; "" if nothing is.
func broken(from, link string) string {
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return "is no address"
	case u.Scheme == "https" && slices.Contains(hosts, u.Host):
		return ""
	case u.Scheme != "" || u.Host != "":
		return "leads outside: https and one of the known hosts is wanted"
	}
	target := from
	if u.Path != "" {
		target = path.Join(path.Dir(from), u.Path)
	}
	file := filepath.Join(root, filepath.FromSlash(target))
	if _, err := os.Stat(file); err != nil {
		return "leads to nothing"
	}
	if strings.HasPrefix(target, "../") {
		return "leads out of the repository"
	}
	if u.Fragment == "" {
		return ""
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "has an anchor, and cannot be read"
	}
	if !slugs(string(text))[u.Fragment] {
		return "names a heading that is not there"
	}
	return ""
}

// TestLinks follows each link between documents to its heading.
func TestLinks(t *testing.T) {
	n := 0
	for _, d := range documents(t) {
		text := codeSpan.ReplaceAllString(unfenced(d.text), "")
		for _, pattern := range []*regexp.Regexp{linkPattern, imgPattern} {
			for _, m := range pattern.FindAllStringSubmatch(text, -1) {
				n++
				if why := broken(d.name, m[1]); why != "" {
					t.Errorf("%s: the link %s %s", d.name, m[1], why)
				}
			}
		}
	}
	t.Logf("docs: %d links", n)
	if n < 50 {
		t.Errorf("%d links were found", n)
	}
}

// TestEachPageIsListed: docs/README.md has a line for each page.
func TestEachPageIsListed(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents(t) {
		name, ok := strings.CutPrefix(d.name, "docs/")
		if ok && name != "README.md" && name != "adr/README.md" && !strings.HasPrefix(name, "adr/") && !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}

// TestReadmeIsShort: a new user reads it to the end.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n >= 150 {
		t.Errorf("README.md has %d lines, want less than 150", n)
	}
}
