package normalizer

import (
	"fmt"
	"slices"
	"strings"
)

// envelopeRow is a row of data/envelope.csv: what the envelope says of a stream's records.
type envelopeRow struct {
	stream, category, operation         string
	time, correlation, result, duration string // members
}

func (t *tables) addEnvelope(row []string) error {
	if slices.ContainsFunc(t.envelope, func(r envelopeRow) bool { return r.stream == row[0] }) {
		return fmt.Errorf("stands twice")
	}
	t.envelope = append(t.envelope, envelopeRow{row[0], row[1], row[2], row[3], row[4], row[5], row[6]})
	return nil
}

// envelopeOf finds the row of a stream. One that has none is its own category.
func (t *tables) envelopeOf(stream string) envelopeRow {
	for i := range t.envelope {
		if t.envelope[i].stream == stream {
			return t.envelope[i]
		}
	}
	return envelopeRow{category: stream, operation: stream}
}

// asSent renames nothing.
var asSent = func() *layout {
	l := &layout{}
	l.below = l
	return l
}()

// addLegacy reads object, member, graph. The record's own members may move into objects; those of others are renamed in their places.
func (t *tables) addLegacy(row []string) error {
	if row[0] != "signin" && row[0] != "audit" {
		t.legacyLayouts.in(row[0], false, asSent).row(row[1]).key = `"` + row[2] + `":`
		return nil
	}
	parent, child, _ := strings.Cut(row[2], ".")
	m := moved{parent: parent, child: child, own: nowhere}
	of, into := &t.objects.signIn, &t.legacySignIn
	if row[0] == "audit" {
		of, into = &t.objects.audit, &t.legacyAudit
	}
	if m.from = of.names.find([]byte(row[1])); m.from == nowhere {
		return fmt.Errorf("nobody reads member %q", row[1])
	}
	if m.own = of.names.find([]byte(parent)); m.own == nowhere {
		return fmt.Errorf("there is no member %q", parent)
	}
	*into = append(*into, m)
	return nil
}

// moved is a member of Azure AD Graph's that Graph has elsewhere: under the name parent, or in an object of that name.
type moved struct {
	from, own     int // indices of the member, and of Graph's parent
	parent, child string
}

// addElastic reads object, member, name, form. The members have been read before.
func (t *tables) addElastic(row []string) error {
	if t.elasticLayouts == nil {
		t.beginElastic()
	}
	r := t.elasticLayouts.in(row[0], true, t.snakeAny).row(row[1])
	switch row[2] {
	case "":
		r.key = `"` + string(appendSnake(nil, []byte(row[1]))) + `":`
	case "-":
		r.key = ""
	default:
		r.key = `"` + row[2] + `":`
	}
	if row[3] == "sent" {
		r.inner = asSent
	}
	return r.parseForm(row[3])
}

// beginElastic puts the members that are known into the layouts, so that their names need no making.
func (t *tables) beginElastic() {
	t.snakeAny = &layout{snake: true}
	t.snakeAny.below = t.snakeAny
	for _, o := range []*object{&t.objects.status, &t.objects.device, &t.objects.location, &t.objects.coordinates, &t.objects.network, &t.objects.policy,
		&t.objects.step, &t.objects.target, &t.objects.property} {
		for _, name := range o.names.list {
			t.snakeAny.row(name)
		}
	}
	t.elasticLayouts = layouts{}
	t.elasticLayouts.in("audit", false, asSent)
	for _, name := range t.objects.signIn.names.list {
		t.elasticLayouts.in("signin", true, t.snakeAny).row(name)
	}
}
