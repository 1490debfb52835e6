// Package route decides, sink by sink, which records it gets and what of each it may see: rules that choose records, and paths
// of members that are dropped or replaced by a keyed hash. It works on records as Microsoft sent them, before they are mapped.
package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/field"
)

// Config is the part of a sink's configuration that says what it gets. The zero value gives it everything.
type Config struct {
	Where       Rules  `yaml:"where,omitempty"`         // a record is kept when one of them holds; none: all are kept
	DropFields  Words  `yaml:"drop_fields,omitempty"`   // paths: ipAddress, location.geoCoordinates, targetResources[].modifiedProperties
	HashFields  Words  `yaml:"hash_fields,omitempty"`   // paths; a text becomes hmac:.., other values null
	HashKeyFile string `yaml:"hash_key_file,omitempty"` // at least 16 bytes, read at the start
}

// Rules hold when one of them does.
type Rules []Rule

// Rule holds for a record when all that it says does.
type Rule struct {
	Streams    Words `yaml:"streams,omitempty"` // patterns; default: all of the sink's
	Conditions `yaml:",inline"`
	Not        *Conditions `yaml:"not,omitempty"` // what is excepted: records for which all of this holds
}

// Conditions are what a record must say. A record that lacks what a condition looks at does not meet it. All words may be
// patterns with * and ?, the letter case does not count, and one of a list is enough.
type Conditions struct {
	Outcome   Words  `yaml:"outcome,omitempty"`    // failure, success, interrupted, unknown
	Risk      string `yaml:"risk,omitempty"`       // at least: low, medium, high
	User      Words  `yaml:"user,omitempty"`       // who acted: name or id, of a service principal too
	Target    Words  `yaml:"target,omitempty"`     // what it was about: name or id
	App       Words  `yaml:"app,omitempty"`        // name or id
	Activity  Words  `yaml:"activity,omitempty"`   // of an audit; the kind of a detection; the title of an alert
	Category  Words  `yaml:"category,omitempty"`   // of an audit or alert
	IP        Words  `yaml:"ip,omitempty"`         // address, CIDR or pattern
	Country   Words  `yaml:"country,omitempty"`    // two letters
	ClientApp Words  `yaml:"client_app,omitempty"` // how a sign-in came in: "IMAP4", "Other clients"
	ErrorCode Codes  `yaml:"error_code,omitempty"` // of a sign-in
}

// Words is a list of texts; one may be written without the list.
type Words []string

// Codes is a list of numbers; one may be written without the list.
type Codes []int64

// OrOne lets the configuration give one value instead of a list.
func (Words) OrOne() {}

// OrOne lets the configuration give one value instead of a list.
func (Codes) OrOne() {}

// OrOne lets the configuration give one rule instead of a list.
func (Rules) OrOne() {}

// has says which families of streams have what a condition looks at: one that can never hold is a mistake.
var has = map[string][]string{
	"outcome":    {"signins", "audits", "attributes"},
	"risk":       {"signins", "risk", "security"},
	"user":       {"signins", "audits", "attributes", "risk"},
	"target":     {"signins", "audits", "attributes"},
	"app":        {"signins", "audits", "attributes"},
	"activity":   {"audits", "attributes", "risk", "security"},
	"category":   {"audits", "attributes", "security"},
	"ip":         {"signins", "audits", "attributes", "risk"},
	"country":    {"signins"},
	"client_app": {"signins"},
	"error_code": {"signins"},
}

var (
	outcomes = []string{"failure", "success", "interrupted", "unknown"}
	levels   = []string{"low", "medium", "high"} // in the order of normalizer.Risk, from RiskLow
)

// Validate finds what is wrong without reading a file. streams gives the names of the sink's streams that a pattern matches.
// Errors are *field.Error.
func (c Config) Validate(streams func(pattern string) []string) error {
	var faults []error
	if c.Where != nil && len(c.Where) == 0 {
		faults = append(faults, field.Errorf("where", "has no rule: leave it out to send everything"))
	}
	for i, r := range c.Where {
		faults = append(faults, field.In(fmt.Sprintf("where[%d]", i), r.validate(streams)))
	}
	_, errs := c.paths()
	faults = append(faults, errs...)
	switch {
	case len(c.HashFields) > 0 && c.HashKeyFile == "":
		faults = append(faults, field.Errorf("hash_fields", "needs hash_key_file: without a key anybody could try out names until the hash fits. Make one with: openssl rand -base64 32"))
	case len(c.HashFields) == 0 && c.HashKeyFile != "":
		faults = append(faults, field.Errorf("hash_key_file", "is of no use without hash_fields: nothing is hashed"))
	}
	return errors.Join(faults...)
}

func (r Rule) validate(streams func(string) []string) error {
	faults := r.Conditions.validate()
	if r.Streams == nil && len(r.given()) == 0 && r.Not == nil {
		faults = append(faults, field.Errorf("", "says nothing and would keep everything: add a condition, such as outcome: failure"))
	}
	if r.Not != nil {
		for _, err := range r.Not.validate() {
			faults = append(faults, field.In("not", err))
		}
		if len(r.Not.given()) == 0 {
			faults = append(faults, field.Errorf("not", "says nothing and would except everything: add a condition, or leave it out"))
		}
	}
	named, ok := streams("*"), true
	if r.Streams != nil && len(r.Streams) == 0 {
		faults = append(faults, field.Errorf("streams", "is an empty list, which no stream is in: name one, or leave it out"))
	}
	if r.Streams != nil {
		named = nil
		for i, p := range r.Streams {
			found := streams(p)
			if named = append(named, found...); len(found) == 0 {
				ok = false
				faults = append(faults, field.Errorf(fmt.Sprintf("streams[%d]", i), "%q matches no stream of this sink: write names such as audits, or patterns such as signins.*", p))
			}
		}
	}
	if !ok || len(named) == 0 {
		return errors.Join(faults...)
	}
	for _, condition := range r.given() {
		named = slices.DeleteFunc(slices.Clone(named), func(stream string) bool {
			family, _, _ := strings.Cut(stream, ".")
			return !slices.Contains(has[condition], family)
		})
		if len(named) == 0 {
			faults = append(faults, field.Errorf(condition, "never holds here: it is known of %s only, and no stream of this rule has it together with the rest", strings.Join(has[condition], ", ")))
			break
		}
	}
	return errors.Join(faults...)
}

// given names the conditions that are set.
func (c Conditions) given() (names []string) {
	for _, w := range c.words() {
		if *w.words != nil {
			names = append(names, w.name)
		}
	}
	if c.Risk != "" {
		names = append(names, "risk")
	}
	if c.ErrorCode != nil {
		names = append(names, "error_code")
	}
	return names
}

type named struct {
	name  string
	words *Words
}

func (c *Conditions) words() []named {
	return []named{{"outcome", &c.Outcome}, {"user", &c.User}, {"target", &c.Target}, {"app", &c.App}, {"activity", &c.Activity}, {"category", &c.Category},
		{"ip", &c.IP}, {"country", &c.Country}, {"client_app", &c.ClientApp}}
}

func (c Conditions) validate() (faults []error) {
	for _, w := range c.words() {
		if *w.words != nil && len(*w.words) == 0 {
			faults = append(faults, field.Errorf(w.name, "is an empty list, which nothing can meet: name a value, or leave it out"))
		}
		for i, word := range *w.words {
			if strings.TrimSpace(word) == "" {
				faults = append(faults, field.Errorf(fmt.Sprintf("%s[%d]", w.name, i), "is empty, which no record is: write a value or a pattern"))
			}
		}
	}
	for i, word := range c.Outcome {
		if !slices.Contains(outcomes, word) {
			faults = append(faults, field.Errorf(fmt.Sprintf("outcome[%d]", i), "%q is unknown: %s", word, strings.Join(outcomes, ", ")))
		}
	}
	if c.Risk != "" && !slices.Contains(levels, c.Risk) {
		faults = append(faults, field.Errorf("risk", "%q is unknown: %s. It means at least that much", c.Risk, strings.Join(levels, ", ")))
	}
	if c.ErrorCode != nil && len(c.ErrorCode) == 0 {
		faults = append(faults, field.Errorf("error_code", "is an empty list, which nothing can meet: name a number, or leave it out"))
	}
	for i, word := range c.IP {
		if _, err := parseNet(word); err != nil && strings.TrimSpace(word) != "" {
			faults = append(faults, field.Errorf(fmt.Sprintf("ip[%d]", i), "%v", err))
		}
	}
	for i, word := range c.Country {
		if n := len(word); strings.TrimSpace(word) != "" && n != 2 && !strings.ContainsAny(word, "*?") {
			faults = append(faults, field.Errorf(fmt.Sprintf("country[%d]", i), "%q is not a country as Microsoft writes it: two letters, such as DE", word))
		}
	}
	return faults
}

// parseNet reads an address or a CIDR; a pattern has no prefix and no error.
func parseNet(word string) (netip.Prefix, error) {
	switch {
	case strings.ContainsAny(word, "*?"):
		return netip.Prefix{}, nil
	case strings.Contains(word, "/"):
		p, err := netip.ParsePrefix(word)
		if err == nil && p.Addr().Is4In6() {
			err = errors.New("mapped")
		}
		if err != nil {
			return p, fmt.Errorf("%q is not a network: write 192.0.2.0/24 or 2001:db8::/32", word)
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(word)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is not an address: write 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 or a pattern such as 192.0.2.*", word)
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}
