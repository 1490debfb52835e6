package normalizer

import (
	"net/netip"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/jsonscan"
)

// Facts is what records are chosen by, in words that hold for every kind of them: read by the same code as the events, so that
// a choice and the event that it is about never disagree. It is valid during the call that it is given to.
type Facts struct {
	Stream    string
	Outcome   string              // failure, success, interrupted or unknown; "" where a kind of record has none
	Risk      Risk                // the highest that the record names
	Address   netip.Addr          // of the client; invalid when there is none, or none that can be read
	ErrorCode int64               // of a sign-in
	HasCode   bool                // the record has one
	texts     [factKinds][][]byte // without escapes, never empty
}

// Risk is a level of risk, or the severity of an alert.
type Risk uint8

// The levels. What is hidden, none or not told is below low.
const (
	RiskNone Risk = iota
	RiskLow
	RiskMedium
	RiskHigh
)

// Fact names the texts of Facts.
type Fact uint8

// The texts, and where they come from in sign-ins, audits, and records without a mapping of their own.
const (
	FactUser      Fact = iota // who acted: principal name and id of a user, name and id of a service principal
	FactTarget                // what it was about: an audit's targets (name, id, principal name), a sign-in's resource (name, id)
	FactApp                   // the client application, or the one that an audit was initiated by: name and id
	FactActivity              // an audit's activity, a detection's kind, an alert's title
	FactCategory              // of an audit, an alert
	FactCountry               // two letters, of a sign-in
	FactClientApp             // clientAppUsed of a sign-in: how it came in
	FactIP                    // the address as it was written
	factKinds
)

// Texts gives all texts of that name.
func (f *Facts) Texts(name Fact) [][]byte { return f.texts[name] }

// Judge reads the record's facts and gives what choose makes of them. An error means that the record cannot be read. It does
// not allocate.
func (n *Normalizer) Judge(rec *event.Record, choose func(*Facts) bool) (bool, error) {
	j := n.jobs.Get().(*job)
	defer func() {
		j.facts.reset()
		j.reset()
		n.jobs.Put(j)
	}()
	j.begin(rec)
	j.unknown.over = true // what nobody knows is counted with the event
	if err := j.readFacts(rec); err != nil {
		return false, err
	}
	return choose(&j.facts), nil
}

// Says tells a value from the words by which the service says that there is none: "hidden", "unknown", a GUID of zeros, ..
func Says(plain []byte) bool { return says(plain) }

func (f *Facts) reset() {
	texts := f.texts
	for i := range texts {
		clear(texts[i])
		texts[i] = texts[i][:0]
		if cap(texts[i]) > 3*mostTargets {
			texts[i] = nil
		}
	}
	*f = Facts{texts: texts}
}

// add keeps the texts that there are, as they read without escapes.
func (f *Facts) add(name Fact, texts ...text) {
	for _, t := range texts {
		if t != nil {
			f.texts[name] = append(f.texts[name], jsonscan.Unescape(nil, t))
		}
	}
}

func (f *Facts) risk(levels ...text) {
	for _, level := range levels {
		switch string(level) {
		case "low":
			f.Risk = max(f.Risk, RiskLow)
		case "medium":
			f.Risk = max(f.Risk, RiskMedium)
		case "high":
			f.Risk = max(f.Risk, RiskHigh)
		}
	}
}

func (f *Facts) address(a address) {
	f.Address = a.ip
	f.add(FactIP, a.text)
}

func (j *job) readFacts(rec *event.Record) error {
	f := &j.facts
	f.Stream = rec.Key.Stream
	family, err := j.read(rec)
	if err != nil {
		return err
	}
	switch family {
	case familySignIns:
		j.signInFacts(f, &j.signIn)
	case familyAudits:
		j.auditFacts(f, &j.audit)
	default:
		m := &j.core
		f.add(FactUser, m.userPrincipalName, m.userID, m.servicePrincipal, m.servicePrincipalID)
		if rec.Key.Stream == "risk.users" { // one record for each user, under the user's id
			f.add(FactUser, m.id)
		}
		f.add(FactActivity, m.activity)
		f.add(FactCategory, m.category)
		f.risk(m.riskLevel)
		f.address(m.address)
	}
	return nil
}

func (j *job) signInFacts(f *Facts, m *signIn) {
	f.Outcome = resultWords[m.result]
	if m.result == resultNone {
		f.Outcome = "unknown"
	}
	f.ErrorCode, f.HasCode = m.status.errorCode, m.status.hasErrorCode
	f.add(FactUser, m.userPrincipalName, m.userID, m.servicePrincipalName, m.servicePrincipalID)
	f.add(FactTarget, m.resourceName, m.resourceID)
	f.add(FactApp, m.appName, m.appID)
	f.add(FactCountry, m.place.country)
	f.add(FactClientApp, j.textAt(m.at[signInClientAppUsed]))
	f.risk(m.riskLevelAggregated, j.textAt(m.at[signInRiskLevelDuringSignIn]))
	f.address(m.address)
}

func (j *job) auditFacts(f *Facts, m *audit) {
	f.Outcome = outcomeOf(m.outcome)
	f.add(FactUser, m.by.user.userPrincipalName, m.by.user.id, m.by.app.servicePrincipalName, m.by.app.servicePrincipalID)
	f.add(FactApp, m.by.app.name, m.by.app.id)
	f.add(FactActivity, m.activityName)
	f.add(FactCategory, m.category)
	for i := range m.targets {
		t := &m.targets[i]
		f.add(FactTarget, t.name, t.id, t.userPrincipalName)
	}
	f.address(m.by.user.address)
}
