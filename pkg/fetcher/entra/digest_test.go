package entra

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/logferry/logferry/pkg/jsonscan"
)

func digestOf(t testing.TB, text string) uint64 {
	t.Helper()
	var d digester
	r := jsonscan.Reader{Buf: []byte(text)}
	v := d.value(&r)
	if r.Err() != nil || !r.End() {
		t.Fatalf("%s: %v", text, r.Err())
	}
	return v
}

// TestDigestGolden pins the algorithm. If one of these changes, DigestVersion has to be raised.
func TestDigestGolden(t *testing.T) {
	if DigestVersion != 1 {
		t.Fatal("renew the golden values together with DigestVersion")
	}
	for text, want := range map[string]uint64{
		`null`:                    0xe4138d6fa2590bc7,
		`true`:                    0x1b6f94c8703ed5a2,
		`{}`:                      0xa2b18e29fc7c0e44,
		`[]`:                      0x8964904b3490a4f8,
		`""`:                      0xb46ee6020cbba777,
		`"Zürich \"x\""`:          0x3e57c8f6ab08d235,
		`-1.50e3`:                 0x2514d72cf5309ec4,
		`{"a":[1,{"b":null}]}`:    0x5276756b0e905d64,
		`{"id":"1","ok":"false"}`: 0x437f962952ee7ce1,
	} {
		if got := digestOf(t, text); got != want {
			t.Errorf("digest of %s is %#x, want %#x", text, got, want)
		}
	}
}

func TestDigestEqual(t *testing.T) {
	for _, c := range [][2]string{
		{`{"a":1,"b":2}`, `{"b":2,"a":1}`},
		{`{"a":{"x":1,"y":[{"p":1,"q":2}]}}`, "{ \"a\" :\n{\"y\":[ {\"q\":2, \"p\":1}\t],\"x\":1}}"},
		{`"é/\n"`, `"\u00e9\/\u000a"`},
		{`{"\u0061":"b"}`, `{"a":"\u0062"}`},
		{`"😀"`, `"\ud83d\ude00"`},
	} {
		if digestOf(t, c[0]) != digestOf(t, c[1]) {
			t.Errorf("%s and %s differ", c[0], c[1])
		}
	}
}

func TestDigestDiffers(t *testing.T) {
	seen := map[uint64]string{}
	for _, text := range []string{
		`null`, `true`, `false`, `0`, `1`, `1.0`, `-1`, `""`, `"0"`, `"1"`, `"null"`, `"a"`, `"b"`, `"ab"`, `[]`, `[[]]`, `{}`, `[{}]`, `[0]`, `[0,0]`, `["a","b"]`, `["b","a"]`,
		`["ab"]`, `{"a":"b"}`, `{"b":"a"}`, `{"a":null}`, `{"a":{}}`, `{"a":[]}`, `{"a":"b","c":"d"}`, `{"a":"d","c":"b"}`, `{"a":{"c":"d"},"b":{}}`, `{"a":{},"b":{"c":"d"}}`,
		`{"a":1,"a":1}`, `{"a":1}`, `{"a":1,"b":1}`, `[[1],[2]]`, `[[1,2]]`, `[[1,2],[]]`, `[[2],[1]]`,
	} {
		d := digestOf(t, text)
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one digest", text, other)
		}
		seen[d] = text
	}
}

// tree is a value that prints its members in an order of the caller's choice.
type tree struct {
	leaf    string // JSON of a scalar; "" for the others
	array   bool
	keys    []string
	members []*tree
}

func randomTree(rnd *rand.Rand, depth int) *tree {
	if kind := rnd.IntN(6); depth == 0 || kind < 3 {
		return &tree{leaf: [...]string{fmt.Sprint(rnd.IntN(1000)), fmt.Sprintf("%q", fmt.Sprint("v", rnd.IntN(1000))), "true", "false", "null"}[rnd.IntN(5)]}
	}
	n := &tree{array: rnd.IntN(2) == 0}
	for i := range rnd.IntN(6) {
		n.keys = append(n.keys, fmt.Sprintf("k%d", i))
		n.members = append(n.members, randomTree(rnd, depth-1))
	}
	return n
}

// print writes the tree; with rnd set the members of each object come in an order of its making.
func (n *tree) print(b *strings.Builder, rnd *rand.Rand) {
	if n.leaf != "" {
		b.WriteString(n.leaf)
		return
	}
	order := make([]int, len(n.members))
	for i := range order {
		order[i] = i
	}
	if rnd != nil && !n.array {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	b.WriteString(map[bool]string{true: "[", false: "{"}[n.array])
	for i, m := range order {
		if i > 0 {
			b.WriteByte(',')
		}
		if !n.array {
			fmt.Fprintf(b, "%q:", n.keys[m])
		}
		n.members[m].print(b, rnd)
	}
	b.WriteString(map[bool]string{true: "]", false: "}"}[n.array])
}

// leaves lists the scalars of the tree.
func (n *tree) leaves(all []*tree) []*tree {
	if n.leaf != "" {
		return append(all, n)
	}
	for _, m := range n.members {
		all = m.leaves(all)
	}
	return all
}

func (n *tree) text(rnd *rand.Rand) string {
	var b strings.Builder
	n.print(&b, rnd)
	return b.String()
}

// TestDigestProperties: the order of members never counts, at any depth; any other value of any scalar does.
func TestDigestProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := randomTree(rnd, 5)
		text := n.text(nil)
		digest := digestOf(t, text)
		if shuffled := n.text(rnd); digestOf(t, shuffled) != digest {
			t.Fatalf("%s and %s differ", text, shuffled)
		}
		for _, leaf := range n.leaves(nil) {
			old := leaf.leaf
			leaf.leaf = `"another"`
			if digestOf(t, n.text(nil)) == digest {
				t.Fatalf("%s and %s have one digest", text, n.text(nil))
			}
			leaf.leaf = old
		}
	}
}

// FuzzDigest: what encoding/json takes apart and puts together again (members sorted) keeps its digest.
func FuzzDigest(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[true,null,"\u00e9\ud83d\ude00"]}`, `[1e5,-0.1]`, `"\ud800"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d digester
		r := jsonscan.Reader{Buf: text}
		first := d.value(&r)
		if r.Err() != nil || !r.End() || !json.Valid(text) {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber() // keeps a number's text
		var v any
		if err := decoder.Decode(&v); err != nil || hasTwin(text) {
			return
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if second := digestOf(t, string(again)); second != first {
			t.Errorf("%s has %x, %s has %x", text, first, again, second)
		}
	})
}

// hasTwin tells whether an object has a key twice, or text that is not UTF-8: encoding/json drops or mends those.
func hasTwin(text []byte) bool {
	var plain func(v json.RawMessage) int
	plain = func(v json.RawMessage) int {
		r, n := jsonscan.Reader{Buf: v}, 0
		if r.Object() {
			keys := map[string]bool{}
			for {
				key, ok := r.Member()
				if !ok {
					return n
				}
				name := string(jsonscan.Unescape(nil, key))
				if keys[name] {
					n++
				}
				keys[name] = true
				n += plain(r.Value())
			}
		}
		if r.Array() {
			for r.Element() {
				n += plain(r.Value())
			}
		}
		return n
	}
	return strings.ToValidUTF8(string(text), "?") != string(text) || plain(text) > 0
}
