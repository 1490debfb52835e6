package normalizer

import (
	"bytes"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// envelopeProperties appends the record as it stands in the envelope: members in their order and as sent, but those that out tells,
// userType in Azure Monitor's spelling, and the tenant added where the record does not name it.
func (j *job) envelopeProperties(rec *event.Record, family family, out absence) {
	switch {
	case family == familySignIns && j.signIn.legacy:
		j.legacyProperties(rec, j.tables.legacySignIn, &j.tables.objects.signIn, j.signIn.at[:], out)
		return
	case family == familyAudits && j.audit.legacy:
		j.legacyProperties(rec, j.tables.legacyAudit, &j.tables.objects.audit, j.audit.at[:], out)
		return
	}
	w := &j.out
	start := len(w.buf)
	j.enter(span{0, uint32(len(j.record))})
	k := keeper{job: j, out: out}
	switch family {
	case familySignIns:
		k.userType = out == outNulls
		k.names, k.at = &j.tables.objects.signIn.names, j.signIn.at[:]
	case familyAudits:
		k.names, k.at = &j.tables.objects.audit.names, j.audit.at[:]
	default:
		k.names = &names{}
	}
	k.record()
	if !k.tenant {
		j.addTenant(rec, "tenantId")
	}
	w.buf = append(w.buf, '}')
	joinLines(w.buf[start:])
}

func (j *job) addTenant(rec *event.Record, name string) { j.out.string(name, rec.Key.Tenant) }

// keeper copies a record in runs as long as can be: a run ends where something is left out or written in another way.
type keeper struct {
	*job
	out      absence
	userType bool   // write it as Azure Monitor does
	names    *names // of the members whose places are known
	at       []span
	from     int  // where the run began that has not been copied yet; away: there is none
	tenant   bool // the record names its tenant
}

const away = -1

// flush copies the run up to end.
func (k *keeper) flush(end int) {
	if k.from != away {
		k.job.out.buf = append(k.job.out.buf, k.Buf[k.from:end]...)
		k.from = away
	}
}

// begin begins a run, behind a comma unless it is the object's first, at the next quote.
func (k *keeper) begin(at int, first bool) {
	if k.from != away {
		return
	}
	if !first {
		k.job.out.buf = append(k.job.out.buf, ',')
	}
	k.from = at + bytes.IndexByte(k.Buf[at:], '"')
}

// record copies the record without its last bracket.
func (k *keeper) record() {
	k.Kind() // passes over blanks
	k.from = k.Pos
	k.Object()
	end, first := k.Pos, true // end of what has been kept
	for {
		before := k.Pos
		key, ok := k.member()
		if !ok {
			break
		}
		start := k.Pos
		if k.saysNothing(k.out) {
			k.Skip()
			k.flush(end)
			continue
		}
		k.begin(before, first)
		value := k.Pos
		i := k.names.find(key)
		if i == nowhere {
			k.tenant = k.tenant || string(key) == "tenantId"
		}
		if w := k.spelling(i); w != nil {
			k.flush(value)
			k.job.out.buf = append(append(append(k.job.out.buf, '"'), w.envelope...), '"')
		} else if i != nowhere && i < len(k.at) && int(k.at[i].start) == start {
			k.known(int(k.at[i].end))
		} else {
			k.value()
		}
		end, first = k.Pos, false
	}
	k.flush(end)
}

// known passes over the next value, which is known to end there: no need to read it again, unless there may be something to leave out.
func (k *keeper) known(end int) {
	if k.out == outNothing || !bytes.Contains(k.Buf[k.Pos:end], null) {
		k.Pos = end
		return
	}
	k.value()
}

var null = []byte("null")

func (k *keeper) spelling(i int) *word {
	if !k.userType || i != signInUserType {
		return nil
	}
	return k.userTypeWord()
}

// userTypeWord gives the word that comes next if Azure Monitor spells it in another way than Graph; else nil, and nothing is consumed.
func (j *job) userTypeWord() *word {
	if j.Kind() != jsonscan.String {
		return nil
	}
	here := j.Reader
	w := j.tables.userTypes.find(j.word())
	if w == nil || w.envelope == "" {
		j.Reader = here
		return nil
	}
	return w
}

// value passes over the next value within the run, leaving members out.
func (k *keeper) value() {
	if k.out == outNothing {
		k.Skip()
		return
	}
	switch k.Kind() {
	case jsonscan.Object:
		k.object()
	case jsonscan.Array:
		for k.Array(); k.Element(); {
			k.value()
		}
	default:
		k.Skip()
	}
}

func (k *keeper) object() {
	k.Object()
	end, first := k.Pos, true
	for {
		before := k.Pos
		if _, ok := k.Member(); !ok {
			break
		}
		if k.Kind() == jsonscan.Null {
			k.Skip()
			k.flush(end)
			continue
		}
		k.begin(before, first)
		k.value()
		end, first = k.Pos, false
	}
	if k.from == away {
		k.from = k.Pos - 1 // the bracket
	}
}
