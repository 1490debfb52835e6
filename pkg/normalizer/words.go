package normalizer

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// word is a row of data/words.csv: what a word of a record's is in the schemas' terms. The file says what the columns hold.
type word struct {
	text           string // as it stands in the table; a prefix has no star here
	ecs            string
	ocsf, ocsfAlso int // absent where the column is empty
	cim, envelope  string
}

// absent stands for an empty column of numbers.
const absent = -1

// vocabulary is the words of one kind.
type vocabulary struct {
	name     string
	exact    names  // as they stand in the table
	folded   names  // in lower case
	words    []word // by index of both
	prefixes []word
}

// longestWord bounds what is compared in lower case, in bytes.
const longestWord = 96

// find gives the row of a word, nil if there is none. Letter case does not matter: services differ in it.
func (v *vocabulary) find(text []byte) *word {
	if i := v.exact.find(text); i != nowhere {
		return &v.words[i]
	}
	if len(text) > longestWord {
		return nil
	}
	var buf [longestWord]byte
	low := buf[:len(text)]
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	if i := v.folded.find(low); i != nowhere {
		return &v.words[i]
	}
	for i := range v.prefixes {
		if p := &v.prefixes[i]; len(text) >= len(p.text) && strings.EqualFold(view(text[:len(p.text)]), p.text) {
			return p
		}
	}
	return nil
}

// addWord reads words, word, ecs, ocsf, ocsf_also, cim, envelope.
func (t *tables) addWord(row []string) error {
	w := word{text: row[1], ecs: row[2], ocsf: absent, ocsfAlso: absent, cim: row[5], envelope: row[6]}
	for _, n := range []struct {
		text string
		into *int
	}{{row[3], &w.ocsf}, {row[4], &w.ocsfAlso}} {
		if n.text == "" {
			continue
		}
		v, err := strconv.Atoi(n.text)
		if err != nil {
			return err
		}
		*n.into = v
	}
	v := t.words[row[0]]
	if v == nil {
		v = &vocabulary{name: row[0]}
		t.words[row[0]] = v
	}
	if prefix, ok := strings.CutSuffix(w.text, "*"); ok {
		w.text = prefix
		v.prefixes = append(v.prefixes, w)
		return nil
	}
	if w.text == "" || !v.exact.add(w.text) || !v.folded.add(strings.ToLower(w.text)) {
		return fmt.Errorf("%q is empty or stands twice", w.text)
	}
	v.words = append(v.words, w)
	return nil
}

// endWords gives the vocabularies that the package itself reads their places.
func (t *tables) endWords() error {
	for name, into := range map[string]**vocabulary{
		"riskLevel": &t.riskLevels, "riskState": &t.riskStates, "conditionalAccess": &t.conditionalAccess, "policyResult": &t.policyResults,
		"protocol": &t.protocols, "method": &t.methods, "incomingToken": &t.incomingTokens, "auditResult": &t.auditResults,
		"loginStatus": &t.loginStatuses, "targetType": &t.targetTypes, "networkType": &t.networkTypes, "tokenIssuer": &t.tokenIssuers,
		"userType": &t.userTypes,
	} {
		if *into = t.words[name]; *into == nil {
			return fmt.Errorf("words: there are none of %s", name)
		}
	}
	if err := t.own("signInResult", resultWords[:], t.signInResults[:]); err != nil {
		return err
	}
	return t.own("signInKind", kindWords[:], t.signInKinds[:])
}

// own finds the rows of words that the package itself uses. "" is the row none, where there is one.
func (t *tables) own(name string, texts []string, into []*word) error {
	v := t.words[name]
	if v == nil {
		return fmt.Errorf("words: there are none of %s", name)
	}
	for i, text := range texts {
		if into[i] = v.find([]byte(cmp.Or(text, "none"))); into[i] == nil && text != "" {
			return fmt.Errorf("words: no row %s, %s", name, text)
		}
	}
	return nil
}
