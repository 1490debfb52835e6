package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// part is a module in the binary, or Go's standard library under the name std.
type part struct {
	Path, Version string
	Sum           string // as in go.sum; none for std
	Files         []file // what speaks of its licence
}

// file is a text of a module; Name is its path inside the module.
type file struct {
	Name string
	Text []byte
}

// partsOf reads the modules from the binary itself, and their texts from where the build took them.
func partsOf(binary string) ([]part, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read modules of %s: %w", binary, err)
	}
	var target []string // the system that the binary is for decides which packages are in it
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" {
			target = append(target, s.Key+"="+s.Value)
		}
	}
	folders, goroot, err := packageFolders(target)
	if err != nil {
		return nil, err
	}
	std := part{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}
	if std.Files, err = textsAlong(goroot, nil); err != nil {
		return nil, err
	}
	parts := []part{std}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			return nil, fmt.Errorf("find licence of %s: the binary holds %s instead of it", dep.Path, dep.Replace.Path)
		}
		at, known := folders[dep.Path+"@"+dep.Version]
		if !known {
			return nil, fmt.Errorf("find licence of %s %s: the binary is not built from what lies here: build it anew", dep.Path, dep.Version)
		}
		p := part{Path: dep.Path, Version: dep.Version, Sum: dep.Sum}
		if p.Files, err = textsAlong(at.root, at.packages); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// place is a module in the cache, with the folders of the packages that are used.
type place struct {
	root     string
	packages []string
}

// packageFolders finds what ./cmd/logferry is compiled from, by module path and version.
func packageFolders(env []string) (places map[string]*place, goroot string, err error) {
	list := exec.Command("go", "list", "-deps", "-json=Dir,Module,Standard,Root", "./cmd/logferry")
	list.Env = append(os.Environ(), env...)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, "", fmt.Errorf("list packages: %w", err)
	}
	places = map[string]*place{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir, Root string
			Standard  bool
			Module    *struct{ Path, Version, Dir string }
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return places, goroot, nil
		} else if err != nil {
			return nil, "", fmt.Errorf("list packages: %w", err)
		}
		switch {
		case p.Standard:
			goroot = p.Root
		case p.Module != nil:
			key := p.Module.Path + "@" + p.Module.Version
			if places[key] == nil {
				places[key] = &place{root: p.Module.Dir}
			}
			places[key].packages = append(places[key].packages, p.Dir)
		}
	}
}

var licenceName = regexp.MustCompile(`(?i)^(licen[sc]e|copying|copyright|notice|unlicense|patents)([-._].*)?$`)

// textsAlong gives the licence files of a module's root and of every folder on the way to a package that is used: code taken over
// from elsewhere often has its own.
func textsAlong(root string, packages []string) ([]file, error) {
	folders := []string{root}
	for _, dir := range packages {
		for ; len(dir) > len(root); dir = filepath.Dir(dir) {
			folders = append(folders, dir)
		}
	}
	slices.Sort(folders)
	var files []file
	for _, dir := range slices.Compact(folders) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("find licence: %w", err)
		}
		for _, e := range entries {
			if !isText(e) {
				continue
			}
			path := filepath.Join(dir, e.Name())
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read licence: %w", err)
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return nil, fmt.Errorf("read licence: %w", err)
			}
			files = append(files, file{filepath.ToSlash(name), text})
		}
	}
	return files, nil
}

func isText(e fs.DirEntry) bool {
	return e.Type().IsRegular() && filepath.Ext(e.Name()) != ".go" && licenceName.MatchString(e.Name())
}
