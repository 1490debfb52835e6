package simulator

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Kind names a fault.
type Kind string

// The faults. Those marked (whole) replace the reply; of several whole ones that match a request the first counts. The others change it and add up.
const (
	Throttle     Kind = "throttle"      // (whole) 429; RetryAfter
	ServerError  Kind = "error"         // (whole) Status (default 503); RetryAfter, Body
	Reset        Kind = "reset"         // (whole) the connection breaks without a reply
	ExpiredToken Kind = "expired_token" // (whole) 401, and the access token is refused from then on
	NoLicence    Kind = "no_licence"    // (whole) 403 Authentication_RequestFromNonPremiumTenantOrB2CTenant
	NoRole       Kind = "no_role"       // (whole) 403 for a missing application permission
	ExpiredLink  Kind = "expired_link"  // (whole) 400 for a request with a $skiptoken; others do not match. Form token (default: "Token not found") or skip ("Invalid Skip Token")
	Garbage      Kind = "garbage"       // (whole) 200 with a body that is no page; Form json (default: an error object inside value) or html

	// About the result of a good query: what passes its filter now, on all pages together. Other requests do not match.
	Poison     Kind = "poison"      // (whole) Status (default 500) where it holds a record with a time in [At, At+Span), Span by default 1 s
	LongWindow Kind = "long_window" // (whole) Status (default 504), after Delay, where its bounds lie further apart than Span; a missing upper one is now
	ManyRows   Kind = "many_rows"   // (whole) Status (default 503) where it has more than Rows rows

	ShortResult     Kind = "short_result"     // its last Rows (default 1) rows are missing, as if they were not there; pages that end before do not match
	Slow            Kind = "slow"             // the reply waits for Delay
	DateSkew        Kind = "date_skew"        // the Date header is off by Skew
	Truncate        Kind = "truncate"         // the body ends in its middle; Form length (default: Content-Length of the whole) or short (of what is sent)
	LoopLink        Kind = "loop_link"        // nextLink is the request's own address
	CycleLink       Kind = "cycle_link"       // two pages link to each other
	ForeignLink     Kind = "foreign_link"     // nextLink lies on another host
	EmptyLink       Kind = "empty_link"       // nextLink with an empty $skiptoken
	EmptyPage       Kind = "empty_page"       // no row, and a nextLink at which the rows are
	IgnoreFilter    Kind = "ignore_filter"    // rows of all times
	OutsideRows     Kind = "outside_rows"     // Rows (default 1) rows from outside the filter's bounds besides
	DuplicateRows   Kind = "duplicate_rows"   // the first Rows (default 1) rows of the page twice
	DuplicateAcross Kind = "duplicate_across" // the last Rows (default 1) rows of the page again on the next one
	NoID            Kind = "no_id"            // the first Rows (default 1) rows lack their id
	NoTime          Kind = "no_time"          // the first Rows (default 1) rows lack their time
	HugeRecord      Kind = "huge_record"      // the first row is padded to Size bytes (default 5 MB)
)

// Script is a list of faults, from LoadScript, ParseScript or put together in Go. The package comment describes the file's format.
type Script struct {
	Rules []Rule `yaml:"rules"`
}

// Rule serves one kind of fault to the requests that it matches. All that is set must hold; a rule with a Kind alone matches every report request.
type Rule struct {
	Kind Kind `yaml:"kind"`

	Stream string `yaml:"stream"` // pattern of path.Match over stream names, as signins.*
	Path   string `yaml:"path"`   // part of the request's path, in any case of letters, as oauth2 or /v1.0/. Token requests match only with a Path
	Tenant string `yaml:"tenant"` // GUID or domain
	Page   string `yaml:"page"`   // first: without a $skiptoken, next: with one

	Nth         []int         `yaml:"nth"`         // which of the matching requests, from 1
	Every       int           `yaml:"every"`       // each n-th of them
	From        time.Duration `yaml:"from"`        // since New, by the service's clock
	Until       time.Duration `yaml:"until"`       // since New; 0: for ever
	Probability float64       `yaml:"probability"` // 0: not asked
	Times       int           `yaml:"times"`       // at most so often; 0: no limit

	RetryAfter string        `yaml:"retry_after"` // seconds as they are sent (2.128), or a duration after which an HTTP date is sent (date 30s); empty: no header
	Status     int           `yaml:"status"`
	Body       string        `yaml:"body"`
	Form       string        `yaml:"form"`
	Delay      time.Duration `yaml:"delay"`
	At         time.Duration `yaml:"at"` // since New; below 0: before it
	Span       time.Duration `yaml:"span"`
	Skew       time.Duration `yaml:"skew"`
	Rows       int           `yaml:"rows"`
	Size       int           `yaml:"size"`
}

// LoadScript reads a script file.
func LoadScript(file string) (*Script, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	s, err := ParseScript(data)
	if err != nil {
		return nil, fmt.Errorf("read script %s: %w", file, err)
	}
	return s, nil
}

// ParseScript reads a script. Unknown keys and kinds are errors, with their line.
func ParseScript(data []byte) (_ *Script, err error) {
	defer func() { // the YAML library does so over some malformed texts
		if v := recover(); v != nil {
			err = fmt.Errorf("this is not YAML: %v", v)
		}
	}()
	var s Script
	if err := yaml.UnmarshalWithOptions(data, &s, yaml.Strict()); err != nil {
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	return &s, nil
}

// forms are the words that Form may hold, the default first. A kind that is not here takes none.
func (k Kind) forms() []string {
	switch k {
	case Garbage:
		return []string{"json", "html"}
	case Truncate:
		return []string{"length", "short"}
	case ExpiredLink:
		return []string{"token", "skip"}
	}
	return nil
}

func kinds() []Kind {
	return []Kind{Throttle, ServerError, Reset, ExpiredToken, NoLicence, NoRole, ExpiredLink, Garbage, Poison, LongWindow, ManyRows, ShortResult, Slow,
		DateSkew, Truncate, LoopLink, CycleLink, ForeignLink, EmptyLink, EmptyPage, IgnoreFilter, OutsideRows, DuplicateRows, DuplicateAcross, NoID, NoTime, HugeRecord}
}

func (s *Script) validate() error {
	var errs []error
	for i := range s.Rules {
		for _, why := range s.Rules[i].faults() {
			errs = append(errs, fmt.Errorf("rule %d (%s): %s", i+1, s.Rules[i].Kind, why))
		}
	}
	return errors.Join(errs...)
}

// faults lists what is wrong with the rule.
func (r *Rule) faults() (why []string) {
	must := func(ok bool, format string, args ...any) {
		if !ok {
			why = append(why, fmt.Sprintf(format, args...))
		}
	}
	must(slices.Contains(kinds(), r.Kind), "unknown kind, want one of %v", kinds())
	_, err := path.Match(r.Stream, "")
	must(err == nil, "stream %q is not a pattern", r.Stream)
	must(r.Page == "" || r.Page == "first" || r.Page == "next", "page %q, want first or next", r.Page)
	must(r.Form == "" || slices.Contains(r.Kind.forms(), r.Form), "form %q, want one of %v", r.Form, r.Kind.forms())
	must(r.Probability >= 0 && r.Probability <= 1, "probability must lie between 0 and 1")
	must(r.Every >= 0 && r.Times >= 0 && r.Rows >= 0 && r.Size >= 0, "every, times, rows and size must not be negative")
	must(r.Until == 0 || r.Until > r.From, "until is not after from")
	must(r.Status == 0 || (r.Status >= 400 && r.Status <= 599), "status %d, want 400 to 599", r.Status)
	must(r.Kind != Slow || r.Delay > 0, "needs a delay above 0")
	must(r.Span >= 0 && r.Delay >= 0, "span and delay must not be negative")
	must(r.Kind != LongWindow || r.Span > 0, "needs a span above 0")
	must(r.Kind != ManyRows || r.Rows > 0, "needs rows above 0")
	must(r.Kind != DateSkew || r.Skew != 0, "needs a skew")
	must(!slices.ContainsFunc(r.Nth, func(n int) bool { return n < 1 }), "nth counts from 1")
	if after, ok := strings.CutPrefix(r.RetryAfter, "date "); ok {
		_, err := time.ParseDuration(after)
		must(err == nil, "retry_after %q, want as in: date 30s", r.RetryAfter)
	}
	return why
}
