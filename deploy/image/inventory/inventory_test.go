package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

const (
	mit   = "MIT License\n\nCopyright (c) 2026 Contoso\n\nPermission is hereby granted, free of charge, to any person obtaining a copy of this software (the \"Software\") ...\nThe above copyright notice and this permission notice shall be included in all copies"
	bsd   = "Redistribution and use in source and binary forms, with or without\nmodification, are permitted provided that the following conditions are met: ..."
	names = "\n* Neither the name of Contoso nor the names of its contributors may be used to endorse or promote products"
)

func TestClassify(t *testing.T) {
	apache, err := os.ReadFile(root + "/LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, want string }{
		{"Apache", string(apache), "Apache-2.0"},
		{"MIT", mit, "MIT"},
		{"MIT as a comment", "// " + strings.ReplaceAll(mit, "\n", "\n// "), "MIT"},
		{"BSD of two clauses", bsd, "BSD-2-Clause"},
		{"BSD of three clauses", bsd + names, "BSD-3-Clause"},
		{"BSD of four clauses", bsd + names + "\nAll advertising materials mentioning features must", "BSD-3-Clause BSD-4-Clause"},
		{"two in one file", mit + "\n\n" + bsd + names, "BSD-3-Clause MIT"},
		{"MPL", "Mozilla Public License Version 2.0\n1.10. “Modifications”\n1.12. Secondary: the GNU General Public License, Version 2.0", "MPL-2.0"},
		{"GPL", "GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007", "GPL"},
		{"AGPL", "GNU AFFERO GENERAL\nPUBLIC LICENSE Version 3", "AGPL"},
		{"BUSL", "Business Source License 1.1", "BUSL"},
		{"MIT with a condition", mit + "\n\"Commons Clause\" License Condition v1.0", "Commons Clause MIT"},
		{"own words", "You may use this on Sundays.", ""},
	} {
		if got := strings.Join(classify([]byte(c.text)), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestRefused: a part whose licence is not on the list, not known or not there must not pass.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []file
		want  string // "" for a part that passes
	}{
		{"allowed", []file{{"LICENSE", []byte(mit)}}, ""},
		{"with additions", []file{{"LICENSE", []byte(mit)}, {"NOTICE", []byte("Made by Contoso.")}, {"PATENTS", []byte("Granted.")}}, ""},
		{"not on the list", []file{{"LICENSE", []byte("GNU General Public License")}}, "speaks of GPL"},
		{"beside one on the list", []file{{"LICENSE", []byte(mit)}, {"taken/over/COPYING", []byte("GNU General Public License")}}, "taken/over/COPYING speaks of GPL"},
		{"in one file with one on the list", []file{{"LICENSE", []byte(mit + "\nFor non-commercial use only.")}}, "speaks of non-commercial"},
		{"in an addition", []file{{"LICENSE", []byte(mit)}, {"NOTICE", []byte("Parts: GNU Affero General Public License")}}, "speaks of AGPL"},
		{"unknown", []file{{"LICENSE", []byte("You may use this on Sundays.")}}, "LICENSE is no licence that is known here"},
		{"none", nil, "no licence file"},
		{"additions alone", []file{{"PATENTS", []byte("Granted.")}}, "no licence file"},
	} {
		_, err := part{Path: "example.com/x", Version: "v1.0.0", Files: c.files}.licences()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestTextsAlong(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"LICENSE.txt", "licence.go", "README", "a/COPYING", "a/b/b.go", "c/LICENSE"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := textsAlong(dir, []string{dir, filepath.Join(dir, "a", "b")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, f.Name)
	}
	if want := []string{"LICENSE.txt", "a/COPYING"}; !slices.Equal(got, want) { // c is no part of the binary
		t.Errorf("%q, want %q", got, want)
	}
}

// TestInventory takes the product's own binary apart: every module that `go version -m` names has an allowed licence, a notice
// and a line in the list of parts, and nothing else has.
func TestInventory(t *testing.T) {
	t.Chdir(root)
	dir := t.TempDir()
	binary, notices, sbom := filepath.Join(dir, "logferry"), filepath.Join(dir, "notices"), filepath.Join(dir, "sbom.json")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./cmd/logferry")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build logferry: %v\n%s", err, out)
	}
	var table bytes.Buffer
	if err := inventory(&table, binary, "v1.2.3", notices, sbom); err != nil {
		t.Fatal(err)
	}
	listed := version(t, binary)
	t.Logf("%s", table.String()[strings.LastIndex(strings.TrimSpace(table.String()), "\n")+1:])

	text, err := os.ReadFile(notices)
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range append(slices.Clone(listed), "std@"+goVersion(t, binary)) {
		name, v, _ := strings.Cut(module, "@")
		if !bytes.Contains(text, []byte("\n"+name+" "+v+": ")) {
			t.Errorf("no notice of %s", module)
		}
	}
	for _, words := range []string{"Uber Technologies, Inc.", "Redistributions in binary form must reproduce the above copyright"} {
		if !bytes.Contains(text, []byte(words)) {
			t.Errorf("the notices lack %q: they hold names without texts", words)
		}
	}

	raw, err := os.ReadFile(sbom)
	if err != nil {
		t.Fatal(err)
	}
	var list bom
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range list.Components {
		if c.PURL != "pkg:golang/"+c.Name+"@"+c.Version || c.Ref != c.PURL || len(c.Licences) != 1 {
			t.Errorf("component %+v", c)
		}
		got = append(got, c.Name+"@"+c.Version)
	}
	if want := append([]string{"std@" + goVersion(t, binary)}, listed...); !slices.Equal(got, want) {
		t.Errorf("the list of parts has\n%q,\nwant\n%q", got, want)
	}
	if self := list.Metadata.Component; self.PURL != "pkg:golang/github.com/logferry/logferry@v1.2.3" || len(list.Dependencies[0].DependsOn) != len(got) {
		t.Errorf("component of the binary %+v", self)
	}
}

// version is what `go version -m` says of the modules in a binary, as path@version.
func version(t *testing.T, binary string) (modules []string) {
	t.Helper()
	out, err := exec.Command("go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "dep" {
			modules = append(modules, f[1]+"@"+f[2])
		}
	}
	if len(modules) < 10 {
		t.Fatalf("go version -m names %d modules only", len(modules))
	}
	return modules
}

func goVersion(t *testing.T, binary string) string {
	t.Helper()
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(info.GoVersion, "go")
}
