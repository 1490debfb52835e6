package route

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
	"github.com/logferry/logferry/pkg/normalizer"
)

// Trimmer takes from records what a sink must not see. It is safe for concurrent use.
type Trimmer struct {
	root *node
	key  []byte
	jobs sync.Pool // *trimming
}

const (
	leastKey = 16       // bytes
	mostKey  = 64 << 10 // bytes: more is not a key, but a wrong file
	mostKept = 64 << 10 // bytes of memory that a job keeps for the next record
)

// NewTrimmer reads the key, if values are to be hashed; nil if nothing is to be trimmed. The key is read once: with another one
// every hash is another, which is to happen at a moment that somebody has chosen.
func NewTrimmer(c Config) (*Trimmer, error) {
	root, faults := c.paths()
	if root == nil || len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	t := &Trimmer{root: root}
	if len(c.HashFields) > 0 {
		key, err := readKey(c.HashKeyFile)
		if err != nil {
			return nil, err
		}
		t.key = key
	}
	t.jobs.New = func() any { return &trimming{mac: hmac.New(sha256.New, t.key)} }
	return t, nil
}

// readKey gives the file's content without white space around it. Errors name the file, never its content.
func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read hash_key_file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > mostKey {
		return nil, fmt.Errorf("read hash_key_file %s: not a file, or larger than 64 KiB: this is not a key", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read hash_key_file: %w", err)
	}
	key := bytes.TrimSpace(content)
	if len(key) < leastKey {
		return nil, fmt.Errorf("read hash_key_file %s: %d bytes are too short for a key: 16 at least, openssl rand -base64 32 makes a good one", path, len(key))
	}
	return key, nil
}

// Trim appends the record's raw form to dst without what the paths name; everything else stays byte for byte. An error means
// that the record cannot be read; dst then comes back as it was given.
func (t *Trimmer) Trim(dst []byte, rec *event.Record) ([]byte, error) {
	w := t.jobs.Get().(*trimming)
	w.Reader, w.dst, w.from = jsonscan.Reader{Buf: rec.Raw}, dst, 0
	out, err := w.record(t.root)
	w.Reader, w.dst = jsonscan.Reader{}, nil
	w.unescaped, w.lowered = recycle(w.unescaped), recycle(w.lowered)
	t.jobs.Put(w)
	if err != nil {
		return dst, fmt.Errorf("trim record %q of stream %s: %w", rec.ID, rec.Key.Stream, err)
	}
	return out, nil
}

func recycle(b []byte) []byte {
	if cap(b) > mostKept {
		return nil
	}
	return b[:0]
}

// trimming is what one call of Trim needs.
type trimming struct {
	jsonscan.Reader
	dst       []byte
	from      int // Buf from here on has not been looked after yet
	mac       hash.Hash
	sum       [sha256.Size]byte
	unescaped []byte
	lowered   []byte
}

var errNotObject = errors.New("not a JSON object")

func (w *trimming) record(root *node) ([]byte, error) {
	if w.Kind() != jsonscan.Object {
		return nil, errNotObject
	}
	w.value(root, false)
	if w.Err() == nil && !w.End() {
		return nil, errNotObject
	}
	if err := w.Err(); err != nil {
		return nil, err
	}
	w.flush(len(w.Buf))
	return w.dst, nil
}

// flush copies what has not been copied yet, up to the place.
func (w *trimming) flush(to int) {
	w.dst = append(w.dst, w.Buf[w.from:to]...)
	w.from = to
}

// instead puts text in the place of what stands from start up to the reader.
func (w *trimming) instead(start int, text string) {
	w.flush(start)
	w.dst = append(w.dst, text...)
	w.from = w.Pos
}

// value consumes the next value. n has the paths that go on below it; hashed says that nothing in it may be seen.
func (w *trimming) value(n *node, hashed bool) {
	kind := w.Kind() // behind it Pos is where the value begins
	if !hashed && (n == nil || kind != jsonscan.Object && kind != jsonscan.Array) {
		w.Skip()
		return
	}
	start := w.Pos
	switch kind {
	case jsonscan.Object:
		if w.Object() {
			w.object(n, hashed)
		}
	case jsonscan.Array:
		if w.Array() {
			for w.Element() {
				w.value(n, hashed)
			}
		}
	case jsonscan.String:
		w.text(start)
	case jsonscan.Number, jsonscan.Bool:
		// A number's hash would be a text, which an index that knows the member as a number refuses.
		if w.Skip(); w.Err() == nil {
			w.instead(start, "null")
		}
	default:
		w.Skip()
	}
}

// object goes over the members of the object that the reader is in.
func (w *trimming) object(n *node, hashed bool) {
	kept, dropped := false, false
	for {
		before := w.Pos
		key, ok := w.Member()
		if !ok {
			return
		}
		if w.Escaped() {
			key = w.plain(key)
		}
		next := n.child(key)
		if next != nil && next.drop {
			w.flush(before)
			w.Skip()
			w.from = w.Pos
			dropped = true
			continue
		}
		if dropped && !kept { // the first member that stays has a comma in front of it
			w.from = before + bytes.IndexByte(w.Buf[before:], ',') + 1
		}
		kept = true
		w.value(next, hashed || next != nil && next.hash)
	}
}

// plain gives the inside of a string without escapes, valid until the next call.
func (w *trimming) plain(inside []byte) []byte {
	w.unescaped = append(w.unescaped[:0], inside...)
	return jsonscan.Unescape(w.unescaped, inside)
}

// text consumes a string and puts its hash there: hmac: and the first 128 bits of HMAC-SHA-256 over the text, in hexadecimal
// digits, which stay the same where a mapping puts a user's name into lower case. The text is hashed without blanks around it
// and in lower case: streams differ in how they write a name. Words for "there is none" stay, so that nobody is made of them.
func (w *trimming) text(start int) {
	inside := w.Text()
	if w.Err() != nil {
		return
	}
	if w.Escaped() {
		inside = w.plain(inside)
	}
	inside = bytes.TrimSpace(inside)
	if !normalizer.Says(inside) {
		return
	}
	w.lowered = w.lowered[:0]
	for i := 0; i < len(inside); {
		r, n := utf8.DecodeRune(inside[i:])
		w.lowered = utf8.AppendRune(w.lowered, unicode.ToLower(r))
		i += n
	}
	w.mac.Reset()
	w.mac.Write(w.lowered)
	sum := w.mac.Sum(w.sum[:0])
	w.instead(start, `"hmac:`)
	w.dst = append(hex.AppendEncode(w.dst, sum[:16]), '"')
}
