package main

import (
	"fmt"
	"slices"
	"strings"
)

// allowed are the licences, by their SPDX names, under which a part may be in the binary: all that they ask for is that their
// text, and a notice if there is one, goes along. (MPL-2.0 asks for the source of its own files too, which the module path names.)
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// marks are words that only the text of that licence has, in lower case with single spaces. All of them must be there.
var marks = []struct {
	id    string
	words []string
}{
	{"Apache-2.0", []string{"apache license version 2.0, january 2004", "grant of copyright license"}},
	{"Apache-2.0", []string{"licensed under the apache license, version 2.0", "you may obtain a copy of the license at"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms, with or without modification, are permitted", "to endorse or promote products"}},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy", "the above copyright notice and this permission notice shall be included"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"}},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted"}},
	{"MPL-2.0", []string{"mozilla public license version 2.0", "1.10. \"modifications\""}},
	{"GPL", []string{"gnu general public license"}},
	{"LGPL", []string{"gnu lesser general public license"}},
	{"LGPL", []string{"gnu library general public license"}},
	{"AGPL", []string{"gnu affero general public license"}},
	{"SSPL", []string{"server side public license"}},
	{"BUSL", []string{"business source license"}},
	{"Elastic", []string{"elastic license"}},
	{"Commons Clause", []string{"commons clause"}},
	{"CC-BY", []string{"creative commons attribution"}},
	{"EPL", []string{"eclipse public license"}},
	{"CDDL", []string{"common development and distribution license"}},
	{"BSD-4-Clause", []string{"all advertising materials mentioning features"}},
	{"non-commercial", []string{"non-commercial"}},
	{"non-commercial", []string{"noncommercial"}},
}

const bsd2 = "redistribution and use in source and binary forms, with or without modification, are permitted"

// classify gives the licences that a text holds, sorted; none for a text that is not known.
func classify(text []byte) (ids []string) {
	plain := strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(string(text)), "“", `"`), "”", `"`)
	plain = strings.Join(strings.Fields(strings.NewReplacer("//", " ", "#", " ", "*", " ").Replace(plain)), " ")
	for _, m := range marks {
		if !slices.ContainsFunc(m.words, func(w string) bool { return !strings.Contains(plain, w) }) {
			ids = append(ids, m.id)
		}
	}
	if strings.Contains(plain, bsd2) && !slices.Contains(ids, "BSD-3-Clause") {
		ids = append(ids, "BSD-2-Clause")
	}
	if slices.Contains(ids, "MPL-2.0") { // its text names the GNU licences as secondary ones
		ids = slices.DeleteFunc(ids, func(id string) bool { return strings.HasSuffix(id, "GPL") })
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// licences gives all licences of a part, sorted. The error says why it cannot be passed on. A NOTICE or PATENTS file adds words to
// a licence and need not be one.
func (p part) licences() (ids []string, err error) {
	for _, f := range p.Files {
		found := classify(f.Text)
		base := strings.ToLower(f.Name[strings.LastIndex(f.Name, "/")+1:])
		addition := strings.HasPrefix(base, "notice") || strings.HasPrefix(base, "patents") || strings.HasPrefix(base, "copyright")
		if len(found) == 0 && !addition {
			return nil, fmt.Errorf("%s %s: %s is no licence that is known here: read it, and teach deploy/image/inventory/licence.go or do without the module", p.Path, p.Version, f.Name)
		}
		for _, id := range found {
			if !slices.Contains(allowed, id) {
				return nil, fmt.Errorf("%s %s: %s speaks of %s, which is not on the list in deploy/image/inventory/licence.go", p.Path, p.Version, f.Name, id)
			}
		}
		ids = append(ids, found...)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s %s: no licence file: nobody may pass it on", p.Path, p.Version)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
