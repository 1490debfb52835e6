package route

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// member is one of an object that keeps its order and its doubles.
type member struct {
	name  string
	value any
}

type object []member

// parse reads JSON by encoding/json into objects, []any and scalars.
func parse(t testing.TB, raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v := parseValue(t, d)
	return v
}

func token(t testing.TB, d *json.Decoder) json.Token {
	tok, err := d.Token()
	if err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	return tok
}

func parseValue(t testing.TB, d *json.Decoder) any {
	tok := token(t, d)
	switch tok {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name := token(t, d).(string)
			o = append(o, member{name, parseValue(t, d)})
		}
		token(t, d)
		return o
	case json.Delim('['):
		list := []any{}
		for d.More() {
			list = append(list, parseValue(t, d))
		}
		token(t, d)
		return list
	}
	return tok
}

// expected is Trim in the plain, slow way: drop and hash are the paths that are still to be gone, as names.
func expected(v any, drop, hash [][]string, hashed bool) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for _, m := range v {
			d, gone := below(drop, m.name)
			h, all := below(hash, m.name)
			if !gone {
				out = append(out, member{m.name, expected(m.value, d, h, hashed || all)})
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, expected(e, drop, hash, hashed))
		}
		return out
	case string:
		if hashed {
			if h := hashOf(testKey, v); strings.HasPrefix(h, "hmac:") {
				return h
			}
		}
		return v
	case nil:
		return nil
	}
	if hashed {
		return nil
	}
	return v
}

func below(paths [][]string, name string) (rest [][]string, here bool) {
	for _, p := range paths {
		if strings.EqualFold(p[0], name) {
			if here = here || len(p) == 1; len(p) > 1 {
				rest = append(rest, p[1:])
			}
		}
	}
	return rest, here
}

func steps(paths []string) (all [][]string) {
	for _, p := range paths {
		all = append(all, strings.Split(strings.ReplaceAll(p, "[]", ""), "."))
	}
	return all
}

// agree holds Trim against encoding/json.
func agree(t testing.TB, trimmer *Trimmer, drop, hash []string, raw []byte) []byte {
	t.Helper()
	rec := newRecord("audits", raw)
	got, err := trimmer.Trim(nil, &rec)
	if err != nil {
		if json.Valid(raw) && bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) && strings.Count(string(raw), "{")+strings.Count(string(raw), "[") <= 1000 {
			t.Fatalf("%v\n%s", err, raw)
		}
		return nil
	}
	if !json.Valid(got) {
		t.Fatalf("not JSON: %s\nfrom %s", got, raw)
	}
	want := expected(parse(t, raw), steps(drop), steps(hash), false)
	if have := parse(t, got); !reflect.DeepEqual(have, want) {
		t.Fatalf("drop %v, hash %v of\n%s\ngives\n%s\nwant\n%v", drop, hash, raw, got, want)
	}
	return got
}

var (
	fuzzDrop = []string{"a", "b.c", "d[].a", "e.e.e"}
	fuzzHash = []string{"c", "b.d", "d[].b", "e"}
)

// randomJSON appends a value with blanks, escapes, doubles and odd letter case.
func randomJSON(r *rand.Rand, b []byte, depth int) []byte {
	blank := func() {
		if r.IntN(6) == 0 {
			b = append(b, " \n\t\r"[r.IntN(4)])
		}
	}
	text := func(s string) {
		b = append(b, '"')
		for _, c := range s {
			if r.IntN(5) == 0 {
				b = fmt.Appendf(b, `\u%04x`, c)
			} else {
				b = append(b, string(c)...)
			}
		}
		b = append(b, '"')
	}
	blank()
	kind := r.IntN(8)
	if depth == 0 {
		kind = 7
	} else if depth <= 3 && kind < 4 {
		kind += 4
	}
	switch {
	case kind <= 5 || kind == 7 && depth == 0:
		if depth > 8 {
			b = append(b, `{}`...)
			break
		}
		b = append(b, '{')
		for i := range r.IntN(6) {
			if i > 0 {
				b = append(b, ',')
			}
			blank()
			text([]string{"a", "b", "c", "d", "e", "f", "A", "É", "ſ"}[r.IntN(9)])
			blank()
			b = append(b, ':')
			b = randomJSON(r, b, depth+1)
		}
		blank()
		b = append(b, '}')
	case kind == 6 && depth < 9:
		b = append(b, '[')
		for i := range r.IntN(4) {
			if i > 0 {
				b = append(b, ',')
			}
			b = randomJSON(r, b, depth+1)
		}
		b = append(b, ']')
	default:
		switch r.IntN(3) {
		case 0:
			text([]string{"Anna@Contoso.com", "", "hidden", " x ", "\U0001F600", "ÄÖ\"\\\n", "192.0.2.1"}[r.IntN(7)])
		case 1:
			b = append(b, []string{"0", "-1.5e+10", "true", "false", "null", "123456789012345678901234567890"}[r.IntN(6)]...)
		default:
			text("k" + strings.Repeat("é", r.IntN(20)))
		}
	}
	blank()
	return b
}

func TestTrimRandom(t *testing.T) {
	trimmer := newTrimmer(t, fuzzDrop, fuzzHash)
	changed := 0
	for seed := range uint64(3_000) {
		raw := randomJSON(rand.New(rand.NewPCG(seed, 1)), nil, 0)
		if got := agree(t, trimmer, fuzzDrop, fuzzHash, raw); !bytes.Equal(got, raw) {
			changed++
		}
	}
	if changed < 800 {
		t.Errorf("%d of 3000 records had anything to trim", changed)
	}
	// A huge one: memory is given back, and the next record is not touched by it.
	huge := append([]byte(`{"c":"`), bytes.Repeat([]byte(`\u0061B`), 1<<18)...)
	agree(t, trimmer, fuzzDrop, fuzzHash, append(huge, `","a":1,"x":[]}`...))
	agree(t, trimmer, fuzzDrop, fuzzHash, []byte(`{"c":"x","a":1,"x":[]}`))
}

func FuzzTrim(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomJSON(rand.New(rand.NewPCG(seed, 2)), nil, 0))
	}
	f.Add([]byte(`{"\u0061":1,"a":2,"e":{"e":{"e":1}}}`))
	trimmer := newTrimmer(f, fuzzDrop, fuzzHash)
	f.Fuzz(func(t *testing.T, raw []byte) { agree(t, trimmer, fuzzDrop, fuzzHash, bytes.ToValidUTF8(raw, nil)) })
}
