package route

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/logferry/logferry/pkg/field"
)

// node is a step of the paths: a member's name, what is to become of its value, and the members below. A path goes through
// arrays, so that they are no steps.
type node struct {
	name       []byte
	drop, hash bool
	below      []*node
}

// child gives the step of that name, nil if no path takes it. The letter case does not count: a path that misses would let
// personal data through.
func (n *node) child(name []byte) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.below {
		if bytes.EqualFold(c.name, name) {
			return c
		}
	}
	return nil
}

func (n *node) step(name string) *node {
	if c := n.child([]byte(name)); c != nil {
		return c
	}
	c := &node{name: []byte(name)}
	n.below = append(n.below, c)
	return c
}

// fixed are the members at the top that must stay as they are: the id, which the receiver tells repeats by, and the times that
// streams run along, in either API.
var fixed = []string{
	"id", "createdDateTime", "signinDateTime", "activityDateTime", "activityDate", "lastUpdatedDateTime", "riskLastUpdatedDateTime", "lastUpdateDateTime",
}

// nameOf is a member's name with any number of [] behind it.
var nameOf = regexp.MustCompile(`^([\p{L}_][\p{L}\p{N}_-]*)(\[\])*$`)

// paths makes the tree of all paths; nil if there is none. Faults are *field.Error.
func (c Config) paths() (root *node, faults []error) {
	type listed struct {
		key  string
		list Words
		hash bool
	}
	root = &node{}
	for _, l := range []listed{{"drop_fields", c.DropFields, false}, {"hash_fields", c.HashFields, true}} {
		if l.list != nil && len(l.list) == 0 {
			faults = append(faults, field.Errorf(l.key, "is an empty list: name the members, or leave it out"))
		}
		for i, path := range l.list {
			at := fmt.Sprintf("%s[%d]", l.key, i)
			steps, err := split(path)
			if err != nil {
				faults = append(faults, field.Errorf(at, "%v", err))
				continue
			}
			n := root
			for _, name := range steps {
				n = n.step(name)
			}
			switch {
			case n.drop && l.hash:
				faults = append(faults, field.Errorf(at, "%s is in drop_fields, too: what is dropped cannot be hashed", path))
			case n.drop || n.hash:
				faults = append(faults, field.Errorf(at, "%s stands here twice", path))
			}
			n.hash = n.hash || l.hash
			n.drop = n.drop || !l.hash
		}
	}
	if root.below == nil {
		root = nil
	}
	return root, faults
}

// split gives the names of a path.
func split(path string) ([]string, error) {
	var names []string
	for step := range strings.SplitSeq(path, ".") {
		m := nameOf.FindStringSubmatch(step)
		if m == nil {
			return nil, fmt.Errorf("%q is not a path of a record: write the names as Microsoft does with dots between them, such as location.city or targetResources[].displayName", path)
		}
		names = append(names, m[1])
	}
	if i := slices.IndexFunc(fixed, func(name string) bool { return strings.EqualFold(name, names[0]) }); i >= 0 {
		return nil, fmt.Errorf("%s has to stay as it is: the id and the times of records tell repeats from new ones", fixed[i])
	}
	return names, nil
}
