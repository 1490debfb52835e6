package normalizer

import (
	"bytes"
	"slices"

	"github.com/logferry/logferry/pkg/event"
)

// The Open Cybersecurity Schema Framework, https://schema.ocsf.io. What is no attribute of an event's class stands under "unmapped": members of
// the record under their own names, and what we derive or know under "logferry". The record is the text "raw_data".

// The numbers of OCSF that the writers themselves use. Those of activities, words and systems are in the tables.
const (
	ocsfOther = 99 // of every enumeration: the text beside it tells what

	ocsfCategoryIAM = 3

	ocsfBaseEvent      = 0
	ocsfAccountChange  = 3001
	ocsfAuthentication = 3002
	ocsfEntity         = 3004
	ocsfUserAccess     = 3005
	ocsfGroup          = 3006
	ocsfUserManagement = 3007 // 1.9
	ocsfRoleManagement = 3008 // 1.9

	ocsfLogon         = 1
	ocsfInformational = 1

	ocsfUser    = 1 // user.type_id
	ocsfService = 4
)

// renderOCSF is the writer of schema ocsf.
func (j *job) renderOCSF(rec *event.Record, o options) error {
	family, err := j.read(rec)
	if err != nil {
		return err
	}
	switch family {
	case familySignIns:
		j.ocsfSignIn(rec)
	case familyAudits:
		j.ocsfAudit(rec)
	default:
		j.ocsfCore(rec)
	}
	j.ocsfEnd(rec, o)
	return nil
}

// enum writes an attribute that is a number and the text that goes with it: the number's caption, or the record's word for what OCSF
// has no number for. Nothing is written for the number absent.
func (j *job) enum(idName, name string, captions map[int]string, id int, own text) {
	if id == absent {
		return
	}
	w := &j.out
	w.integer(idName, int64(id))
	if id == ocsfOther && own != nil {
		w.text(name, own)
	} else {
		w.word(name, captions[id])
	}
}

// ocsfHead is what the attributes of every class are made of.
type ocsfHead struct {
	class        ocsfClass
	activityName text // for activity 99
	severity     int
	id, time     text // the record's own
	correlation  text
	provider     text // the service that logged it
	code         text // what the record calls such events
	host         bool // profile host is in use
	legacy       bool // the record is of Azure AD Graph
}

// ocsfBegin opens the event with class, time, metadata and cloud.
func (j *job) ocsfBegin(rec *event.Record, h ocsfHead) {
	w, names := &j.out, &j.tables.ocsfNames
	class, activity := names.class[h.class.class], names.activity[h.class]
	w.begin()
	w.integer("time", j.ocsfTime(rec, h.time))
	if h.class.class == ocsfBaseEvent {
		w.integer("category_uid", 0)
		w.word("category_name", "Uncategorized")
	} else {
		w.integer("category_uid", ocsfCategoryIAM)
		w.word("category_name", "Identity & Access Management")
	}
	w.integer("class_uid", int64(h.class.class))
	w.word("class_name", class)
	w.integer("activity_id", int64(h.class.activity))
	if h.class.activity == ocsfOther && h.activityName != nil {
		w.text("activity_name", h.activityName)
	} else {
		w.word("activity_name", activity)
	}
	w.integer("type_uid", int64(h.class.class)*100+int64(h.class.activity))
	w.key("type_name")
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, class...)
	w.buf = append(w.buf, ": "...)
	w.buf = append(w.buf, activity...)
	w.buf = append(w.buf, '"')
	j.enum("severity_id", "severity", names.severity, h.severity, nil)
	j.ocsfMetadata(rec, h)
	j.ocsfCloud(rec)
}

// ocsfTime gives an event's time in milliseconds: the record's own where it is sound.
func (j *job) ocsfTime(rec *event.Record, own text) int64 {
	if rec.Flags&event.FlagNoTime == 0 && isUTC(own) {
		if ms := milliseconds(own); ms > 0 {
			return ms
		}
	}
	if !rec.Time.IsZero() {
		return rec.Time.UnixMilli()
	}
	return max(0, rec.Read.UnixMilli())
}

var (
	profiles     = []string{"cloud", "security_control"}
	hostProfiles = []string{"cloud", "security_control", "host"}
)

func (j *job) ocsfMetadata(rec *event.Record, h ocsfHead) {
	w := &j.out
	w.object("metadata")
	w.word("version", j.tables.ocsfVersion())
	w.object("product")
	w.word("name", "Microsoft Entra ID")
	w.word("vendor_name", "Microsoft")
	w.object("feature")
	if h.legacy {
		w.word("name", "Azure AD Graph")
	} else {
		w.word("name", "Microsoft Graph")
	}
	w.end()
	w.end()
	if h.host {
		w.words("profiles", hostProfiles)
	} else {
		w.words("profiles", profiles)
	}
	id := rec.EventID()
	w.key("uid")
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, id[:]...)
	w.buf = append(w.buf, '"')
	if h.id != nil {
		w.text("original_event_uid", h.id)
	} else {
		w.string("original_event_uid", rec.ID)
	}
	w.text("correlation_uid", h.correlation)
	w.string("tenant_uid", rec.Key.Tenant)
	w.string("log_name", rec.Key.Stream)
	w.text("log_provider", h.provider)
	w.text("event_code", h.code)
	if rec.Flags&event.FlagNoTime == 0 {
		w.text("original_time", h.time)
	}
	if !rec.Read.IsZero() {
		w.integer("logged_time", rec.Read.UnixMilli())
	}
	w.end()
}

func (j *job) ocsfCloud(rec *event.Record) {
	w := &j.out
	w.object("cloud")
	w.word("provider", "Azure")
	if rec.Key.Tenant != "" {
		w.object("account")
		w.string("uid", rec.Key.Tenant)
		w.integer("type_id", 6)
		w.word("type", "Azure AD Account")
		w.end()
	}
	w.end()
}

// ocsfEnd closes the event, with the record in its last attribute: a text, which is what the schema has it as. It
// reads as the record byte for byte.
func (j *job) ocsfEnd(rec *event.Record, o options) {
	w := &j.out
	if !o.dropRaw {
		w.key("raw_data")
		w.buf = append(w.buf, '"')
		w.buf = appendJSONText(w.buf, bytes.Trim(rec.Raw, " \t\r\n"))
		w.buf = append(w.buf, '"')
	}
	w.finish()
}

// appendJSONText appends a valid JSON text as the inside of a JSON string. Besides quotes and backslashes only the white space
// between tokens needs an escape: JSON has no other control characters.
func appendJSONText(dst, raw []byte) []byte {
	more := 0
	for _, c := range [...][]byte{{'"'}, {'\\'}, {'\n'}, {'\r'}, {'\t'}} {
		more += bytes.Count(raw, c)
	}
	n := len(dst)
	dst = slices.Grow(dst, len(raw)+more)[:n+len(raw)+more]
	for _, c := range raw {
		if c == '"' || c == '\\' || c < ' ' {
			dst[n] = '\\'
			n++
			switch c {
			case '\n':
				c = 'n'
			case '\r':
				c = 'r'
			case '\t':
				c = 't'
			}
		}
		dst[n] = c
		n++
	}
	return dst[:n]
}

// known tells whether the person can be a user of OCSF, which demands a name or an id.
func (p person) known() bool { return p.id != nil || p.name != nil }

// ocsfPerson writes the attributes of a user.
func (j *job) ocsfPerson(p person, kind int) {
	w := &j.out
	w.text("uid", p.id)
	w.text("name", p.name)
	w.text("full_name", p.fullName)
	if isMail(p.email) {
		w.text("email_addr", p.email)
	}
	w.text("domain", p.domain)
	w.integer("type_id", int64(kind))
	if kind == ocsfService {
		w.word("type", "Service")
	} else {
		w.word("type", "User")
	}
}

// ocsfUser writes a user if it can be one.
func (j *job) ocsfUser(key string, p person, kind int) {
	if !p.known() {
		return
	}
	j.out.object(key)
	j.ocsfPerson(p, kind)
	j.out.end()
}

// isMail tells whether t is a mail address as OCSF's email_t has it: ASCII, and a dot behind the @.
func isMail(t text) bool {
	i := bytes.IndexByte(t, '@')
	if i <= 0 {
		return false
	}
	for _, c := range t[:i] {
		if !alphanumeric(c) && bytes.IndexByte(mailMarks, c) < 0 {
			return false
		}
	}
	dot := -1
	for k, c := range t[i+1:] {
		if !alphanumeric(c) && c != '-' && c != '.' {
			return false
		}
		if c == '.' && dot < 0 {
			dot = k
		}
	}
	return dot > 0 && i+1+dot+1 < len(t)
}

var mailMarks = []byte("!#$%&'*+,-./=?^_`{|}~")

func alphanumeric(c byte) bool { return letter(c) || digit(c) }

// ocsfNamed writes an object with uid and name; OCSF demands one of them.
func (j *job) ocsfNamed(key string, id, name text) {
	w := &j.out
	w.object(key)
	w.text("uid", id)
	w.text("name", name)
	w.end()
}
