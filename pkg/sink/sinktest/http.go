package sinktest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"time"
)

// Faulty puts the modes in front of an HTTP server that are the same for all of them: Slow, CutDuring and CutReplied.
func Faulty(mode func() Mode, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := mode()
		if m != Slow && m != CutDuring && m != CutReplied {
			next.ServeHTTP(w, r)
			return
		}
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, r)
		io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		var out bytes.Buffer
		reply := whole.Result()
		reply.ContentLength, reply.Close = int64(whole.Body.Len()), m == Slow
		reply.Write(&out)
		b := out.Bytes()
		switch m {
		case CutReplied:
			conn.Write(b)
			return
		case CutDuring:
			conn.Write(b[:len(b)-whole.Body.Len()/2-1])
			return
		}
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := range b {
			<-tick.C
			if _, err := conn.Write(b[i : i+1]); err != nil {
				return
			}
		}
	})
}
