package post

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestEncode: what is compressed reads as what is not, across chunks and with memory that is used again, which costs no allocation.
func TestEncode(t *testing.T) {
	parts := make([]string, 500)
	for i := range parts {
		parts[i] = strings.Repeat("x", 7*i) + "\n"
	}
	part := func(dst []byte, i int) []byte { return append(dst, parts[i]...) }
	var p Buffers
	zipped, plain := p.Get(), p.Get()
	for _, n := range []int{500, 0, 1, 300} {
		r, err := gzip.NewReader(bytes.NewReader(zipped.Encode(n, true, part)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		want := strings.Join(parts[:n], "")
		if err != nil || string(got) != want || string(plain.Encode(n, false, part)) != want {
			t.Errorf("%d parts: %d bytes, %v; want %d", n, len(got), err, len(want))
		}
	}
	if got := testing.AllocsPerRun(10, func() { zipped.Encode(500, true, part) }); got > 0 {
		t.Errorf("%.0f allocations for a request of 500 parts", got)
	}
}

// TestRequest: the memory goes back when the body is closed, once, and a body that is closed gives nothing of what others write.
func TestRequest(t *testing.T) {
	var p Buffers
	to, err := url.Parse("https://example.com/x?y=z")
	if err != nil {
		t.Fatal(err)
	}
	for _, zip := range []bool{true, false} {
		b := p.Get()
		content := b.Encode(1, zip, func(dst []byte, _ int) []byte { return append(dst, "text"...) })
		r := b.Request(http.MethodPut, to, http.Header{})
		if r.Method != http.MethodPut || r.URL != to || r.ContentLength != int64(len(content)) || r.GetBody != nil || (r.Header.Get("Content-Encoding") == "gzip") != zip {
			t.Errorf("the request is %+v", r)
		}
		if n, err := r.Body.Read(make([]byte, 2)); n != 2 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if rest, err := io.ReadAll(r.Body); err != nil || len(rest) != len(content)-2 {
			t.Errorf("the rest is %q, %v", rest, err)
		}
		r.Body.Close()
		r.Body.Close()
		if n, err := r.Body.Read(make([]byte, 2)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("after Close: %d bytes, %v", n, err)
		}
		if one, two := p.Get(), p.Get(); one == two {
			t.Error("closed twice it is given to two requests")
		}
	}
}
