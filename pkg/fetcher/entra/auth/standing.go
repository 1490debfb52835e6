package auth

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// warnBefore is how long before a credential's end somebody should know.
const warnBefore = 30 * 24 * time.Hour

// Standing is how a credential is doing.
type Standing struct {
	Expires time.Time // zero: not known; nobody tells an app when its secret ends
	Notes   []Note
}

// Note is something to mend while sign-in still works, or a person to be waited for.
type Note struct {
	Text    string
	Since   time.Time
	Blocked bool // nothing goes on before somebody acts
}

// standing gathers what there is to tell, and says it once a day.
type standing struct {
	warn func(error)

	mu      sync.Mutex
	expires time.Time
	note    Note
	said    map[bool]time.Time // whether it was about the end, and when
	last    string             // trouble that was said
}

func (s *standing) get() Standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Standing{Expires: s.expires}
	if s.note.Text != "" {
		st.Notes = append(st.Notes, s.note)
	}
	if text := ending(s.expires, time.Now()); text != "" {
		st.Notes = append(st.Notes, Note{Text: text, Since: s.expires.Add(-warnBefore)})
	}
	return st
}

func ending(expires, now time.Time) string {
	left := expires.Sub(now)
	switch {
	case expires.IsZero() || left > warnBefore:
		return ""
	case left <= 0:
		return fmt.Sprintf("the certificate in certificate_file ended on %s: the owner of the app registration has to register a new one and put it into certificate_file", expires.UTC().Format(time.DateOnly))
	}
	return fmt.Sprintf("the certificate in certificate_file ends on %s, in %d days: the owner of the app registration has to register a new one beside it and put it into certificate_file", expires.UTC().Format(time.DateOnly), int(left.Hours()/24))
}

// expiry takes the end of the credential that is in the file.
func (s *standing) expiry(p *proof, now time.Time) {
	s.mu.Lock()
	s.expires = p.expires
	s.mu.Unlock()
	if text := ending(p.expires, now); text != "" {
		s.say(true, text, now)
	}
}

// trouble takes what keeps the next token from being had.
func (s *standing) trouble(err error) {
	now := time.Now()
	s.mu.Lock()
	if s.note.Text != err.Error() {
		s.note = Note{Text: err.Error(), Since: now}
	}
	s.mu.Unlock()
	s.say(false, err.Error(), now)
}

// waits takes that a person has to sign in.
func (s *standing) waits(p Prompt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = Note{Text: "somebody has to sign in: " + p.String(), Since: time.Now(), Blocked: true}
}

// well ends the trouble, but for what p has to say itself.
func (s *standing) well(p *proof) {
	if p.note != "" {
		s.trouble(errors.New(p.note))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note, s.last = Note{}, ""
}

func (s *standing) say(end bool, text string, now time.Time) {
	s.mu.Lock()
	known := (end || text == s.last) && now.Sub(s.said[end]) < 24*time.Hour && !s.said[end].IsZero()
	if !known {
		if s.said == nil {
			s.said = map[bool]time.Time{}
		}
		s.said[end] = now
		if !end {
			s.last = text
		}
	}
	s.mu.Unlock()
	if !known && s.warn != nil {
		s.warn(errors.New(text))
	}
}

// present is the token in use.
type present struct {
	mu    sync.Mutex
	token Token
	due   time.Time // to look at the credential's file, or to renew
}

// get gives the token, and whether it is time for more than to use it.
func (p *present) get(now time.Time) (Token, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.token, !p.token.good(now) || !now.Before(p.due)
}

// set takes a token that has just been got.
func (p *present) set(t Token) {
	p.mu.Lock()
	p.token = t
	p.mu.Unlock()
	p.looked(time.Now())
}

// looked puts off the next look, but not beyond the time to renew the token.
func (p *present) looked(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = now.Add(lookEvery)
	if renew := p.token.renew; renew.After(now) && renew.Before(p.due) {
		p.due = renew
	}
}

// renew has t replaced at the next look, which is due.
func (p *present) renew(t Token, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token.Access == t.Access {
		p.token.renew, p.due = now, now
	}
}

func (p *present) forget(t Token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token.Access == t.Access {
		p.token = Token{}
	}
}
