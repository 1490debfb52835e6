package entra

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/event"
)

// filter builds $filter: the operator's own, the slice's bounds and the kind of record, all of which must hold. Bounds are
// whole seconds and never narrower than the slice.
func (s Stream) filter(own string, sl event.Slice) string {
	var clauses []string
	if own != "" {
		clauses = append(clauses, "("+own+")")
	}
	if !sl.From.IsZero() {
		from := sl.From.UTC().Truncate(time.Second)
		if s.Lower == gt {
			from = from.Add(-time.Second)
		}
		clauses = append(clauses, fmt.Sprintf("%s %s %s", s.TimeMember, s.Lower, from.Format(time.RFC3339)))
	}
	if !sl.To.IsZero() {
		to := sl.To.UTC().Truncate(time.Second)
		if to.Before(sl.To) || s.Upper == lt {
			to = to.Add(time.Second)
		}
		clauses = append(clauses, fmt.Sprintf("%s %s %s", s.TimeMember, s.Upper, to.Format(time.RFC3339)))
	}
	if s.kind != "" {
		clauses = append(clauses, s.kind)
	}
	return strings.Join(clauses, " and ")
}

// top is the page size under limits, of which 0 is none.
func (s Stream) top(limits ...int) int {
	top := s.Page
	for _, limit := range limits {
		if limit > 0 {
			top = min(top, limit)
		}
	}
	return top
}

// firstURL is the address of a slice's first page. base is the Graph host; most is the configured page size, 0 for none.
func (s Stream) firstURL(base *url.URL, own string, most int, sl event.Slice) string {
	var b strings.Builder
	b.WriteString(base.String())
	b.WriteString("/" + s.Version + "/" + s.Path)
	b.WriteString("?$top=" + strconv.Itoa(s.top(most, sl.Top)))
	if s.OrderBy != "" {
		b.WriteString("&$orderby=" + escape(s.OrderBy))
	}
	if filter := s.filter(own, sl); filter != "" {
		b.WriteString("&$filter=" + escape(filter))
	}
	return b.String()
}

// escape is url.QueryEscape with %20 for a space: a plus sign is a space in forms only, and not every server is so kind.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// cutTokens makes an address fit to be shown: what stands behind $skiptoken opens a page of records to whoever has it.
func cutTokens(u *url.URL) string {
	shown := *u
	shown.User = nil
	parts := strings.Split(shown.RawQuery, "&")
	for i, part := range parts {
		key, _, _ := strings.Cut(part, "=")
		if isSkipToken(key) {
			parts[i] = key + "=.."
		}
	}
	shown.RawQuery = strings.Join(parts, "&")
	return shown.String()
}

func isSkipToken(key string) bool {
	if plain, err := url.QueryUnescape(key); err == nil {
		key = plain
	}
	return strings.EqualFold(strings.TrimPrefix(key, "$"), "skiptoken")
}
