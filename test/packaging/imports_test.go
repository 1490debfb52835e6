package packaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const module = "github.com/logferry/logferry"

// rule is one of depguard's in .golangci.yml, list mode lax: an import that a prefix in deny matches is refused, unless one in
// allow that is longer matches too. A trailing $ asks for the whole path.
type rule struct {
	Files []string `yaml:"files"`
	Allow []string `yaml:"allow"`
	Deny  []struct {
		Pkg  string `yaml:"pkg"`
		Desc string `yaml:"desc"`
	} `yaml:"deny"`
}

// TestImportTable holds the packages against the linter's table without the linter, whose build takes minutes, and makes sure
// that every package has its row.
func TestImportTable(t *testing.T) {
	rules := importRules(t)
	for _, pkg := range packages(t) {
		short := strings.TrimPrefix(pkg.ImportPath, module+"/")
		row := false
		for name, r := range rules {
			if !r.covers(short) {
				continue
			}
			for _, path := range pkg.Imports {
				if why, refused := r.refuses(path); refused {
					t.Errorf("%s imports %s: %s (rule %s)", short, path, why, name)
				}
			}
			_, closed := r.refuses(module + "/pkg/unheard-of")
			row = row || closed
		}
		if !row && short != "pkg/app" {
			t.Errorf("%s has no row in the import table of .golangci.yml", short)
		}
	}
}

func importRules(t *testing.T) map[string]rule {
	t.Helper()
	var file struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]rule `yaml:"rules"`
				} `yaml:"depguard"`
			} `yaml:"settings"`
		} `yaml:"linters"`
	}
	if err := yaml.Unmarshal([]byte(read(t, ".golangci.yml")), &file); err != nil {
		t.Fatalf(".golangci.yml: %v", err)
	}
	return file.Linters.Settings.Depguard.Rules
}

type listed struct {
	ImportPath string
	Imports    []string // without those of tests
}

func packages(t *testing.T) []listed {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "./pkg/...", "./cmd/...")
	list.Dir = filepath.FromSlash(root)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// covers tells whether the rule is for the files of a package.
func (r rule) covers(pkg string) bool {
	wanted, file := false, "/"+pkg+"/file.go"
	onlyExcept := true
	for _, glob := range r.Files {
		negated := strings.HasPrefix(glob, "!")
		match := glob != "!$test" && globPattern(strings.TrimPrefix(glob, "!")).MatchString(file)
		switch {
		case negated && match:
			return false
		case !negated:
			onlyExcept = false
			wanted = wanted || match
		}
	}
	return wanted || onlyExcept
}

func globPattern(glob string) *regexp.Regexp {
	p := regexp.QuoteMeta(glob)
	p = strings.ReplaceAll(p, `\*\*/`, `(.*/)?`)
	p = strings.ReplaceAll(p, `\*`, `[^/]*`)
	return regexp.MustCompile("^/?" + p + "$")
}

func (r rule) refuses(path string) (why string, refused bool) {
	for _, d := range r.Deny {
		if !strings.HasPrefix(path, d.Pkg) {
			continue
		}
		allowed := false
		for _, a := range r.Allow {
			exact, whole := strings.CutSuffix(a, "$")
			allowed = allowed || len(a) > len(d.Pkg) && (path == exact || !whole && strings.HasPrefix(path, a))
		}
		if !allowed {
			return d.Desc, true
		}
	}
	return "", false
}
