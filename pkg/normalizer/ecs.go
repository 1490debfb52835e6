package normalizer

import (
	"bytes"

	"github.com/logferry/logferry/pkg/event"
)

// The Elastic Common Schema, https://www.elastic.co/docs/reference/ecs. Everything that is no ECS field stands under "entra"
// (the record as sent) or "logferry" (what we derive or know).
const ecsVersion = "9.4.0"

// person is how ECS sees somebody: user.*, user.target.*.
type person struct {
	id, name, fullName text
	email, domain      text
}

// user makes a person of a user. A user's name is the full user principal name in lower case: services spell it differently
// from record to record, and the part before the @ alone is not unique.
func (j *job) user(id, userPrincipalName, displayName text) person {
	p := person{id: id, name: j.lower(userPrincipalName), fullName: displayName}
	p.email, p.domain = mailOf(p.name)
	return p
}

var guestTag = []byte("#ext#")

// mailOf splits a user principal name in lower case. A guest's (user_home.tld#EXT#@tenant) is no mail address.
func mailOf(name text) (email, domain text) {
	i := bytes.LastIndexByte(name, '@')
	if i <= 0 || i+1 == len(name) {
		return nil, nil
	}
	if bytes.IndexByte(name, '@') == i && !bytes.Contains(name, guestTag) {
		email = name
	}
	return email, name[i+1:]
}

// ecsBegin opens the event with its time: the record's own text where that is sound, so that no digit is lost. A time that the
// fetcher has turned down (year 1 stands for none) does not come back here.
func (j *job) ecsBegin(rec *event.Record, own text) {
	j.out.begin()
	j.eventTime("@timestamp", rec, own)
}

func (j *job) eventTime(name string, rec *event.Record, own text) {
	w := &j.out
	switch {
	case rec.Flags&event.FlagNoTime == 0 && isUTC(own):
		w.text(name, own)
	case !rec.Time.IsZero():
		w.time(name, rec.Time)
	default:
		w.time(name, rec.Read)
	}
}

// ecsEventCore opens "event" and writes what every event has. The caller goes on and closes it.
func (j *job) ecsEventCore(rec *event.Record, id text, dataset string) {
	w := &j.out
	w.object("event")
	if id != nil {
		w.text("id", id)
	} else {
		w.string("id", rec.ID)
	}
	w.text("created", j.readAt.of(rec.Read))
	w.word("kind", eventKind(rec.Key.Stream))
	w.constant(`"module":"azure"`)
	w.string("dataset", dataset)
}

// ecsCommon writes what stands outside "event" in every family.
func (j *job) ecsCommon(rec *event.Record, actor person, from address) {
	w := &j.out
	w.object("cloud")
	w.object("account")
	w.text("id", j.tenant.of(rec.Key.Tenant))
	w.end()
	w.constant(`"provider":"azure","service":{"name":"Microsoft Entra ID"}`)
	w.end()
	w.constant(`"ecs":{"version":"` + ecsVersion + `"}`)

	w.object("client")
	w.ip("ip", from.ip)
	w.end()

	j.related.ip(from)
	j.related.user(actor.name, actor.id, actor.fullName)
	w.object("related")
	w.ips("ip", j.related.ips)
	w.texts("user", j.related.users)
	w.texts("hosts", j.related.hosts)
	w.texts("entity", j.related.entities)
	w.end()
}

// ecsPerson writes the members of user or user.target.
func (j *job) ecsPerson(p person) {
	w := &j.out
	w.text("id", p.id)
	w.text("name", p.name)
	w.text("full_name", p.fullName)
	w.text("email", p.email)
	w.text("domain", p.domain)
}

// ecsNamed writes an object that has an id and a name.
func (j *job) ecsNamed(key string, id, name text) {
	w := &j.out
	w.object(key)
	w.text("id", id)
	w.text("name", name)
	w.end()
}

// ecsAddress writes the members of source that come from an address.
func (j *job) ecsAddress(a address) {
	w := &j.out
	w.text("address", a.text)
	w.ip("ip", a.ip)
	if a.port != 0 {
		w.integer("port", int64(a.port))
	}
}

// ecsLogferry opens "logferry" and writes what we know of every record. The caller goes on and closes it.
func (j *job) ecsLogferry(rec *event.Record) {
	w := &j.out
	id := rec.EventID()
	w.object("logferry")
	w.string("stream", rec.Key.Stream)
	w.text("tenant", j.tenant.of(rec.Key.Tenant))
	w.key("event_id")
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, id[:]...)
	w.buf = append(w.buf, '"')
	w.integer("mapping", Version)
	for _, f := range [...]struct {
		flag event.Flags
		name string
	}{
		{event.FlagUpdate, "update"},
		{event.FlagUncertain, "uncertain"},
		{event.FlagResent, "resent"},
		{event.FlagNoID, "no_id"},
		{event.FlagNoTime, "no_time"},
	} {
		if rec.Flags&f.flag != 0 {
			w.bool(f.name, true)
		}
	}
}

// ecsEnd closes the event, with the record as it came in its last member.
func (j *job) ecsEnd(o options) {
	w := &j.out
	if !o.dropRaw {
		w.key("entra")
		w.buf = j.appendRecord(w.buf)
	}
	w.finish()
}
