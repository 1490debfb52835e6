package entra

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
)

// Fetch yields the pages of s in the API's order. An error has a *SliceError in its chain, comes last, and leaves the slice open: whoever
// wants the rest opens the slice again. Records alias memory that is used again for the next page.
func (f *Fetcher) Fetch(ctx context.Context, s event.Slice) iter.Seq2[event.Page, error] {
	return func(yield func(event.Page, error) bool) {
		row, ok := f.rows[s.Stream]
		if !ok {
			yield(event.Page{}, &SliceError{KindRequest, s.Stream, 1, fault.Block(errors.New("the configuration has no such stream"))})
			return
		}
		rd := &reader{f: f, row: row, slice: s, page: 1}
		defer rd.drop() // a consumer may panic
		link, seen := f.dialect.firstURL(row, f.place.graph, f.cfg, s), map[uint64]bool{}
		for {
			seen[xxhash.Sum64String(link)] = true
			page, err := rd.read(ctx, link)
			if err != nil {
				rd.drop()
				yield(event.Page{}, err)
				return
			}
			rd.rows += len(page.Records)
			page.Last = page.Last && !rd.isCut()
			more := yield(page, nil) && !page.Last
			rd.drop()
			if !more {
				return
			}
			// The page itself was sound; only what follows it is out of reach.
			if link, err = rd.follow(seen); err != nil {
				yield(event.Page{}, err)
				return
			}
		}
	}
}

// follow checks the nextLink of the page that was read last. It goes with the token to whatever host it names, so it must
// name the one that we trust.
func (rd *reader) follow(seen map[uint64]bool) (string, error) {
	rd.page++
	if err := rd.enough(); err != nil {
		return "", err
	}
	if len(rd.next) > mostLink {
		return "", rd.fail(KindLink, fmt.Errorf("follow nextLink: it has %d bytes, more than any server takes", len(rd.next)))
	}
	// A space is legal in none of a URL's parts but has been seen in links; the request line would break at it.
	link := strings.ReplaceAll(rd.next, " ", "%20")
	u, err := url.Parse(link)
	if err != nil {
		return "", rd.fail(KindLink, errors.New("follow nextLink: it is not a URL"))
	}
	base := rd.f.place.graph
	switch {
	case !sameOrigin(u, base):
		return "", rd.fail(KindLink, fmt.Errorf("follow nextLink: it leads to %q instead of %s and was not followed: the access token would go there", u.Scheme+"://"+u.Host, base.Scheme+"://"+base.Host))
	case hasEmptySkipToken(u):
		return "", rd.fail(KindToken, errors.New("follow nextLink: its $skiptoken is empty"))
	case seen[xxhash.Sum64String(link)]:
		return "", rd.fail(KindLoop, fmt.Errorf("follow nextLink: page %d links back to a page that was read already", rd.page-1))
	case rd.page > rd.f.most:
		return "", rd.fail(KindPages, fmt.Errorf("follow nextLink: the slice has more than %d pages", rd.f.most))
	}
	return link, nil
}

// mostLink bounds a nextLink, in bytes. Those of the service have a few hundred; servers refuse what is over 8 to 64 KiB.
const mostLink = 64 << 10

// sameOrigin compares scheme, host and port (RFC 6454); a link with a user in it is never the same.
func sameOrigin(a, b *url.URL) bool {
	return a.User == nil && strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	}
	return "80"
}

func hasEmptySkipToken(u *url.URL) bool {
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		key, value, _ := strings.Cut(part, "=")
		if isSkipToken(key) && value == "" {
			return true
		}
	}
	return false
}
