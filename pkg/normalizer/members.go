package normalizer

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/logferry/logferry/pkg/jsonscan"
)

// span is where a member's value stands in the record, blanks before it included. The zero span is no member.
type span struct{ start, end uint32 }

// object is what the tables say of one JSON object of a record: its members, and which words they hold.
type object struct {
	path  string // below the record with a dot at its end, "" for the record itself
	names names
	words []*vocabulary // by index; nil: any text may come
}

// objects are those whose members are looked at. Others are passed over: what is in them is in the record alone.
type objects struct {
	signIn, status, device, location, coordinates, network, policy, step object
	audit, initiator, user, app, target, property, detail, actor         object
}

// byName finds one by its name in data/members.csv; nil if there is none.
func (o *objects) byName(name string) *object {
	switch name {
	case "signin":
		return &o.signIn
	case "signin.status":
		return &o.status
	case "signin.deviceDetail":
		return &o.device
	case "signin.location":
		return &o.location
	case "signin.location.geoCoordinates":
		return &o.coordinates
	case "signin.networkLocationDetails":
		return &o.network
	case "signin.appliedConditionalAccessPolicies":
		return &o.policy
	case "signin.authenticationDetails":
		return &o.step
	case "audit":
		return &o.audit
	case "audit.initiatedBy":
		return &o.initiator
	case "audit.initiatedBy.user":
		return &o.user
	case "audit.initiatedBy.app":
		return &o.app
	case "audit.targetResources":
		return &o.target
	case "audit.targetResources.modifiedProperties":
		return &o.property
	case "audit.additionalDetails":
		return &o.detail
	case "audit.actor":
		return &o.actor
	}
	return nil
}

// addMember reads object, member, words. The words have been read before.
func (t *tables) addMember(row []string) error {
	o := t.objects.byName(row[0])
	if o == nil {
		return fmt.Errorf("nobody reads object %q", row[0])
	}
	if _, path, ok := strings.Cut(row[0], "."); ok {
		o.path = path + "."
	}
	i := o.names.find([]byte(row[1]))
	if i == nowhere {
		i = len(o.names.list)
		o.names.add(row[1])
	} else if i < len(o.words) && o.words[i] != unnamed {
		return fmt.Errorf("%q stands twice", row[1])
	}
	for len(o.words) <= i {
		o.words = append(o.words, unnamed)
	}
	o.words[i] = nil
	if row[2] == "" {
		return nil
	}
	if o.words[i] = t.words[row[2]]; o.words[i] == nil {
		return fmt.Errorf("no words %q", row[2])
	}
	return nil
}

// unnamed marks a member that a model has and the table has not named yet.
var unnamed = new(vocabulary)

// beginMembers gives the members that the models know by index their indices.
func (t *tables) beginMembers() {
	for _, name := range signInNames {
		t.objects.signIn.names.add(name)
	}
	for _, name := range auditNames {
		t.objects.audit.names.add(name)
	}
}

// endMembers finds members of the models that the table does not name.
func (t *tables) endMembers() error {
	for _, o := range []*object{&t.objects.signIn, &t.objects.audit} {
		for i, name := range o.names.list {
			if i >= len(o.words) || o.words[i] == unnamed {
				return fmt.Errorf("members: no row for %q", name)
			}
		}
	}
	return nil
}

// raw gives the text of a member's value as it stands in the record; empty if there is none.
func (s *scanner) raw(at span) []byte {
	for at.start < at.end && s.record[at.start] <= ' ' {
		at.start++
	}
	return s.record[at.start:at.end]
}

// enter puts the reader in front of a value that was passed over. The record has been read to its end then; its values are
// consumed by text, object, array and the like as in the first pass.
func (s *scanner) enter(at span) {
	s.Reader = jsonscan.Reader{Buf: s.record[:at.end], Pos: int(at.start)}
}

// textAt gives a member's text, as text does.
func (s *scanner) textAt(at span) text {
	if at.end == 0 {
		return nil
	}
	s.enter(at)
	return s.text()
}

// boolAt gives a member that is true or false.
func (s *scanner) boolAt(at span) tristate { return truth(s.raw(at)) }

func truth(value []byte) tristate {
	switch string(value) {
	case "true":
		return yes
	case "false":
		return no
	}
	return unknown
}

// member is Reader.Member with the key's escapes undone, which nobody sends.
func (s *scanner) member() (key []byte, ok bool) {
	if key, ok = s.Member(); ok && s.Escaped() {
		key = jsonscan.Unescape(nil, key)
	}
	return key, ok
}

// word consumes the next value and gives a string's plain text without blanks around it.
func (s *scanner) word() []byte {
	raw := s.Text()
	if s.Escaped() && len(raw) > 0 {
		raw = jsonscan.Unescape(nil, raw)
	}
	return bytes.TrimSpace(raw)
}

// passOver skips a member that nobody reads, and tells if nobody knows it either.
func (j *job) passOver(o *object, key []byte) {
	if o.names.find(key) == nowhere {
		j.unknown.member(o.path, key)
	}
	j.Skip()
}

// checkWords looks whether the words of a member that has just been passed over are known ones: a string, which may join several by
// commas, or a list of strings.
func (j *job) checkWords(v *vocabulary, path, name string, at span) {
	value := j.raw(at)
	if len(value) < 2 {
		return
	}
	switch value[0] {
	case '"':
		j.checkWord(v, path, name, value[1:len(value)-1])
	case '[':
		r := jsonscan.Reader{Buf: value}
		for r.Array(); r.Element(); {
			j.checkWord(v, path, name, r.Text())
		}
	}
}

func (j *job) checkWord(v *vocabulary, path, name string, text []byte) {
	if v.exact.find(text) != nowhere || !says(text) {
		return
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		text = jsonscan.Unescape(nil, text)
	}
	if v.find(text) != nil { // which may have a comma itself
		return
	}
	for part := range bytes.SplitSeq(text, comma) {
		if part = bytes.TrimSpace(part); says(part) && v.find(part) == nil {
			j.unknown.word(path, name, part)
		}
	}
}

var comma = []byte(",")
