package normalizer

import (
	"bytes"
	"embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

//go:embed data/*.csv
var dataFiles embed.FS

// tables is the data under data/, parsed.
type tables struct {
	codes      map[int64]errorCode
	activities map[string]*activity // by folded name
	spelled    names                // those names as the table spells them, which is how they come as a rule
	bySpelling []*activity          // by index in spelled
	patterns   []pattern            // for names that are not in activities; the first that fits wins
	operations map[string]*activity // fallback by operationType, lower case
	other      *activity            // fallback of the fallback
	systems    []system
	ocsf19     bool // the classes of OCSF 1.9 instead of those that it has replaced
	ocsfNames  ocsfNames
	objects    objects
	words      map[string]*vocabulary

	envelope                      []envelopeRow
	legacySignIn, legacyAudit     []moved
	legacyLayouts, elasticLayouts layouts
	snakeAny                      *layout // every name in snake case, at any depth

	// words by what they are of
	riskLevels, riskStates, conditionalAccess, policyResults, protocols, methods, incomingTokens *vocabulary
	auditResults, loginStatuses, targetTypes, networkTypes, tokenIssuers, userTypes              *vocabulary
	signInResults                                                                                [len(resultWords)]*word
	signInKinds                                                                                  [len(kindWords)]*word // nil for kindUnknown
}

// result is what became of a sign-in. An interrupt is neither: the service asks the user for something more (MFA, consent,
// which account), and often has taken the password already.
type result uint8

const (
	resultNone result = iota // the record has no status
	resultSuccess
	resultInterrupted
	resultFailure
)

var resultWords = [...]string{"", "success", "interrupted", "failure"}

// tristate is a fact that may be unknown.
type tristate uint8

const (
	unknown tristate = iota
	yes
	no
)

// errorCode is what an AADSTS code (status.errorCode) says. Codes that are not in the table are failures.
type errorCode struct {
	result           result
	passwordAccepted tristate
}

// activity is what a directory audit's activity is in the schemas' terms.
type activity struct {
	configuration     bool      // ECS event.category: configuration instead of iam
	types             []string  // ECS event.type; "principal" stands for user or group, whichever the target is
	ocsf18, ocsf19    ocsfClass // the same where 1.9 has not replaced the class
	ocsfEntity        int       // OCSF entity.type_id; absent: by the target
	cimAction         string    // Splunk CIM Change: action
	cimChangeType     string    // change_type; "": none
	cimObjectCategory string    // object_category; "": by the target
}

// ocsfClass is what OCSF calls an activity.
type ocsfClass struct{ class, activity int }

// ocsf gives an activity's class in the version of OCSF that data/ocsf.csv switches on.
func (t *tables) ocsf(a *activity) ocsfClass {
	if t.ocsf19 {
		return a.ocsf19
	}
	return a.ocsf18
}

// pattern is an activity's name with a star at its end (a prefix) or at both ends (a part).
type pattern struct {
	part     string
	anywhere bool
	activity *activity
}

// system tells an operating system by a word in its name; osType is ECS user_agent.os.type, ocsf is OCSF os.type_id.
type system struct {
	word, osType string
	ocsf         int
}

func loadTables() (*tables, error) {
	t := &tables{codes: map[int64]errorCode{}, activities: map[string]*activity{}, operations: map[string]*activity{}, words: map[string]*vocabulary{},
		legacyLayouts: layouts{}}
	t.beginMembers()
	for _, f := range []struct {
		name    string
		columns int
		add     func(row []string) error
	}{
		{"codes", 4, t.addCode},
		{"activities", 11, t.addActivity},
		{"operations", 11, t.addOperation},
		{"systems", 3, t.addSystem},
		{"ocsf", 2, t.addOCSF},
		{"ocsf_names", 3, t.addOCSFName},
		{"words", 7, t.addWord},
		{"members", 3, t.addMember},
		{"envelope", 7, t.addEnvelope},
		{"legacy", 3, t.addLegacy},
		{"elastic", 4, t.addElastic},
	} {
		if err := loadTable(f.name, f.columns, f.add); err != nil {
			return nil, err
		}
	}
	if t.other = t.operations["*"]; t.other == nil {
		return nil, fmt.Errorf("operations: no row *, which is for operations without one")
	}
	if err := t.endMembers(); err != nil {
		return nil, err
	}
	if err := t.endWords(); err != nil {
		return nil, err
	}
	return t, nil
}

// loadTable hands the rows of a file to add. The first row names the columns; lines that begin with # are remarks.
func loadTable(name string, columns int, add func(row []string) error) error {
	f, err := dataFiles.Open("data/" + name + ".csv")
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	r.FieldsPerRecord = columns
	rows, err := r.ReadAll()
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, row := range rows[min(1, len(rows)):] {
		if err := add(row); err != nil {
			return fmt.Errorf("read %s: row %q: %w", name, row[0], err)
		}
	}
	return nil
}

func (t *tables) addCode(row []string) error {
	code, err := strconv.ParseInt(row[0], 10, 64)
	if err != nil {
		return err
	}
	if _, ok := t.codes[code]; ok {
		return fmt.Errorf("stands twice")
	}
	var c errorCode
	switch row[1] {
	case "success":
		c.result = resultSuccess
	case "interrupted":
		c.result = resultInterrupted
	case "failure":
		c.result = resultFailure
	default:
		return fmt.Errorf("unknown class %q", row[1])
	}
	switch row[2] {
	case "":
	case "yes":
		c.passwordAccepted = yes
	case "no":
		c.passwordAccepted = no
	default:
		return fmt.Errorf("password_accepted is %q: want yes, no or nothing", row[2])
	}
	t.codes[code] = c
	return nil
}

func (t *tables) addActivity(row []string) error {
	a, err := parseActivity(row)
	if err != nil {
		return err
	}
	name := string(fold(nil, []byte(row[0])))
	if part, ok := strings.CutSuffix(name, "*"); ok {
		part, anywhere := strings.CutPrefix(part, "*")
		t.patterns = append(t.patterns, pattern{part, anywhere, a})
		return nil
	}
	if t.activities[name] != nil {
		return fmt.Errorf("stands twice")
	}
	t.activities[name] = a
	t.spelled.add(row[0])
	t.bySpelling = append(t.bySpelling, a)
	return nil
}

func (t *tables) addOperation(row []string) error {
	a, err := parseActivity(row)
	if err != nil {
		return err
	}
	if t.operations[row[0]] != nil {
		return fmt.Errorf("stands twice")
	}
	t.operations[row[0]] = a
	return nil
}

func (t *tables) addSystem(row []string) error {
	id, err := strconv.Atoi(row[2])
	if err != nil {
		return fmt.Errorf("OCSF type: %w", err)
	}
	t.systems = append(t.systems, system{row[0], row[1], id})
	return nil
}

// addOCSF reads setting, value.
func (t *tables) addOCSF(row []string) error {
	if row[0] != "version" || row[1] != "1.8.0" && row[1] != "1.9.0" {
		return fmt.Errorf("%q: want version, 1.8.0 or 1.9.0", row)
	}
	t.ocsf19 = row[1] == "1.9.0"
	return nil
}

// parseActivity reads name, category, types, ocsf_class, ocsf_activity, ocsf_entity, ocsf19_class, ocsf19_activity, cim_action,
// cim_change_type, cim_object_category.
func parseActivity(row []string) (*activity, error) {
	a := &activity{types: strings.Fields(row[2]), ocsfEntity: absent, cimAction: row[8], cimChangeType: row[9], cimObjectCategory: row[10]}
	switch row[1] {
	case "iam":
	case "configuration":
		a.configuration = true
	default:
		return nil, fmt.Errorf("unknown category %q", row[1])
	}
	if len(a.types) == 0 {
		return nil, fmt.Errorf("no type")
	}
	for _, n := range []struct {
		column string
		text   string
		into   *int
	}{{"class", row[3], &a.ocsf18.class}, {"activity", row[4], &a.ocsf18.activity}, {"1.9 class", row[6], &a.ocsf19.class}, {"1.9 activity", row[7], &a.ocsf19.activity}, {"entity", row[5], &a.ocsfEntity}} {
		if n.text == "" && n.into != &a.ocsf18.class && n.into != &a.ocsf18.activity {
			continue
		}
		v, err := strconv.Atoi(n.text)
		if err != nil {
			return nil, fmt.Errorf("OCSF %s: %w", n.column, err)
		}
		*n.into = v
	}
	if a.ocsf19 == (ocsfClass{}) {
		a.ocsf19 = a.ocsf18
	}
	return a, nil
}

// code tells what an AADSTS code says.
func (t *tables) code(v int64) errorCode {
	if c, ok := t.codes[v]; ok {
		return c
	}
	return errorCode{result: resultFailure}
}

// fold appends an activity's name in the form in which names are compared: lower case, with hyphens for dashes (the service
// writes "Update application – ..", people write "-").
func fold(dst, name []byte) []byte {
	for len(name) > 0 {
		switch c := name[0]; {
		case c == enDash[0] && (bytes.HasPrefix(name, enDash) || bytes.HasPrefix(name, emDash)):
			dst = append(dst, '-')
			name = name[len(enDash):]
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c+'a'-'A')
			name = name[1:]
		default:
			dst = append(dst, c)
			name = name[1:]
		}
	}
	return dst
}

var enDash, emDash = []byte("–"), []byte("—")

// activity finds an activity by its folded name; nil if the table does not know it.
func (t *tables) activity(folded []byte) *activity {
	if a := t.activities[string(folded)]; a != nil {
		return a
	}
	for i := range t.patterns {
		p := &t.patterns[i]
		if p.anywhere && strings.Contains(view(folded), p.part) || strings.HasPrefix(view(folded), p.part) {
			return p.activity
		}
	}
	return nil
}

// operation is the fallback for activities that are not in the table, by operationType in lower case.
func (t *tables) operation(folded []byte) *activity {
	if a := t.operations[string(folded)]; a != nil {
		return a
	}
	return t.other
}

// system finds an operating system by its name in lower case without blanks; nil if no word fits.
func (t *tables) system(name []byte) *system {
	for i := range t.systems {
		if s := &t.systems[i]; strings.Contains(view(name), s.word) {
			return s
		}
	}
	return nil
}
