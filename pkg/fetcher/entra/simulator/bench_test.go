package simulator

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// BenchmarkTransport polls through Client's transport as the product does: a link made anew for each poll, an access token, the body read to its end.
// An empty poll, a page of 20 small rows, one of 1,000 made-up ones.
func BenchmarkTransport(b *testing.B) {
	for _, tc := range []struct {
		name string
		back time.Duration // how far before now the poll's bound lies
		top  int
	}{{"empty", 0, 1000}, {"20", time.Minute, 20}, {"1000", 24 * time.Hour, 1000}} {
		b.Run(tc.name, func(b *testing.B) {
			clock := &fixedClock{epoch}
			u := newUser(b, Options{Now: clock.now, Trace: true, Generate: []Generate{{Stream: Interactive, Rate: 1, Since: epoch.Add(-12 * time.Hour), Until: epoch.Add(-time.Hour)}}})
			for i := range 30 {
				at := iso(epoch.Add(-time.Duration(30+i/2) * time.Second))
				raw := fmt.Sprintf(`{"id":"small-%d","createdDateTime":%q,"signInEventTypes":["interactiveUser"]}`, i, at)
				if err := u.server.Add(Interactive, Record{Raw: []byte(raw)}); err != nil {
					b.Fatal(err)
				}
			}
			transport, room := u.client.Transport, make([]byte, 8<<20)
			b.ReportAllocs()
			for b.Loop() {
				clock.t = clock.t.Add(time.Microsecond)
				link := signInsAt(kindOf(Interactive)+" and createdDateTime ge "+iso(clock.t.Add(-tc.back)), fmt.Sprint("$top=", tc.top))
				req, err := http.NewRequest(http.MethodGet, link, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+u.token)
				resp, err := transport.RoundTrip(req)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(resp, err)
				}
				n, err := io.ReadFull(resp.Body, room)
				resp.Body.Close()
				if err != io.ErrUnexpectedEOF || n < 80 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
