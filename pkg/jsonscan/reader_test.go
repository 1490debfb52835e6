package jsonscan

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// agree holds a Reader's verdict and its idea of every string against encoding/json.
func agree(t *testing.T, text []byte) {
	t.Helper()
	r := Reader{Buf: text}
	r.Skip()
	valid := r.Err() == nil && r.End()
	want := json.Valid(text)
	if valid != want && !tooDeep(text) {
		t.Fatalf("%q: valid = %v (%v), encoding/json says %v", text, valid, r.Err(), want)
	}
	var s string
	if want && utf8.Valid(text) && json.Unmarshal(text, &s) == nil && len(bytes.TrimSpace(text)) > 1 && bytes.TrimSpace(text)[0] == '"' {
		r := Reader{Buf: text}
		if got := string(Unescape(nil, r.Text())); got != s {
			t.Fatalf("%q: text = %q, want %q", text, got, s)
		}
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil || back != s {
			t.Fatalf("AppendString(%q) reads back as %q, %v", s, back, err)
		}
	}
}

func tooDeep(text []byte) bool {
	depth, most := 0, 0
	for _, c := range text {
		switch c {
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth--
		}
	}
	return most > MaxDepth
}

var seeds = []string{
	`{}`, `[]`, `""`, `0`, `-0.5e+10`, `01`, `1.`, `-`, `1e`, `true`, `tru`, `null`, `nul`, ` { "a" : [ 1 , 2 , { } ] } `, `{"a":1,}`, `{,}`, `[,1]`, `[1 2]`, `{"a" 1}`,
	`{"a":1}x`, `"\u00e9\n\"\\\/\b\f\r\t"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83d\u0041"`, `"\x"`, `"\u12g4"`, "\"a\nb\"", `"unfinished`, `{"a":`, `[`, `"\u2028é"`, "\"\x7f\"", "\"\xff\"",
}

func TestAgreesWithEncodingJSON(t *testing.T) {
	for _, s := range seeds {
		agree(t, []byte(s))
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(agree)
}

func TestWalk(t *testing.T) {
	r := Reader{Buf: []byte(`{"id":"x","n":{"deep":[1,{"a":null}]},"list":["p", "q"],"last":-1.5}`)}
	if !r.Object() {
		t.Fatal("no object")
	}
	var got []string
	for {
		key, ok := r.Member()
		if !ok {
			break
		}
		switch string(key) {
		case "list":
			for r.Array(); r.Element(); {
				got = append(got, string(r.Text()))
			}
		case "id":
			got = append(got, string(r.Text()))
		default:
			got = append(got, string(key)+"="+string(r.Value()))
		}
	}
	want := []string{"x", `n={"deep":[1,{"a":null}]}`, "p", "q", "last=-1.5"}
	if r.Err() != nil || !r.End() || len(got) != len(want) {
		t.Fatalf("got %q, %v", got, r.Err())
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

// TestPlain holds the search by eight bytes against the one by single bytes, with every byte value at every place.
func TestPlain(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				for _, filler := range []byte{'a', ' ', '!', '#', '[', ']', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
					buf := bytes.Repeat([]byte{filler}, length)
					buf[at] = byte(c)
					want := 0
					for ; want < length && !stop[buf[want]]; want++ {
					}
					if got := plain(buf, 0); got != want {
						t.Fatalf("%q: %d, want %d", buf, got, want)
					}
				}
			}
		}
	}
}

func TestEscaped(t *testing.T) {
	r := Reader{Buf: []byte(`["plain","with \\n inside",1,"plain again"]`)}
	var got []bool
	for r.Array(); r.Element(); {
		if r.Text() != nil {
			got = append(got, r.Escaped())
		}
	}
	if r.Err() != nil || len(got) != 3 || got[0] || !got[1] || got[2] {
		t.Fatalf("escaped %v, %v", got, r.Err())
	}
}

func TestDepthIsBounded(t *testing.T) {
	deep := Reader{Buf: bytes.Repeat([]byte("["), MaxDepth)}
	deep.Buf = append(deep.Buf, bytes.Repeat([]byte("]"), MaxDepth)...)
	if deep.Skip(); deep.Err() != nil || !deep.End() {
		t.Errorf("%d brackets: %v", MaxDepth, deep.Err())
	}
	r := Reader{Buf: bytes.Repeat([]byte("["), 1<<20)}
	r.Skip()
	if r.Err() == nil {
		t.Fatal("a million brackets passed")
	}
}

func TestAppendStringRepairsUTF8(t *testing.T) {
	if got, want := string(AppendString(nil, "a\xffb\x01")), `"a�b\u0001"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func BenchmarkSkip(b *testing.B) {
	text := []byte(`{"id":"11111111-2222-3333-4444-555555555555","createdDateTime":"2026-01-01T00:00:00.1234567Z","userPrincipalName":"someone@contoso.com","userAgent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)","status":{"errorCode":0,"failureReason":null},"list":[{"a":"b","c":true},{"a":"d","c":false}]}`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r := Reader{Buf: text}
		r.Skip()
	}
}
