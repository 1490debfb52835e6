package app

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/config"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/pipeline"
	"github.com/logferry/logferry/pkg/store"
	"github.com/logferry/logferry/pkg/timeline"
)

// Letter is a letter as it is listed and shown.
type Letter struct {
	ID       uint64    `json:"id"`
	State    string    `json:"state"` // dead | parked | returning
	Sink     string    `json:"sink"`
	Stream   string    `json:"stream"` // as status names it
	Key      string    `json:"key"`    // cloud/tenant/stream
	Record   string    `json:"record"` // its id
	Time     time.Time `json:"time"`   // the record's own
	At       time.Time `json:"at"`     // since when it is kept, or dead again
	Reason   string    `json:"reason"`
	Reply    string    `json:"reply,omitempty"`
	Attempts int       `json:"attempts"`
	Fault    string    `json:"fault,omitempty"` // why its record cannot be read
	EventID  string    `json:"event_id"`
	Raw      []byte    `json:"raw,omitempty"` // show only: the record as it was read
}

// LetterOrder chooses letters in an operator's words.
type LetterOrder struct {
	IDs    [][2]uint64 `json:"ids,omitempty"` // first and last of each range
	Sink   string      `json:"sink,omitempty"`
	Stream string      `json:"stream,omitempty"` // SOURCE/STREAM as status shows it, the stream alone, a key, or a pattern of these
	Reason string      `json:"reason,omitempty"` // a part of it
	From   string      `json:"from,omitempty"`   // of the records' times: RFC 3339, a date, or an age such as 24h
	To     string      `json:"to,omitempty"`
	States []string    `json:"states,omitempty"`
	All    bool        `json:"all,omitempty"`   // show, replay and drop want this where nothing else is chosen
	Limit  int         `json:"limit,omitempty"` // list and show: most letters; 0: all
}

// LettersDone tells what became of an order.
type LettersDone struct {
	Letters int      `json:"letters"`           // listed, on their way again, or dropped
	More    int      `json:"more,omitempty"`    // chosen, but above Limit
	Damaged []uint64 `json:"damaged,omitempty"` // replay: stay dead, because the disk has changed their records
}

// LettersOrder begins the names of the orders about letters at the control socket; one of the verbs follows.
const LettersOrder = "dlq-"

var letterVerbs = []string{"list", "show", "replay", "drop"}

const mostIDs = 1 << 20 // of one order

// letters carries out an order about letters in the process that runs.
func (a *App) letters(ctx context.Context, verb string, o LetterOrder, tell func(Letter)) (LettersDone, error) {
	done, err := desk{a.config(), a.store, a.pipeline.Return}.do(ctx, verb, o, tell)
	if verb == "drop" {
		a.pipeline.LettersChanged() // a lane may wait for room
	}
	if verb == "replay" || verb == "drop" {
		a.log.Info("dead letters: "+verb, zap.Any("order", o), zap.Any("result", done), zap.Error(err))
	}
	return done, err
}

// OfflineLetters carries out an order (list, show, replay or drop) when no process runs. What is replayed goes at the next run.
func OfflineLetters(ctx context.Context, cfg *config.Config, verb string, o LetterOrder, tell func(Letter)) (LettersDone, error) {
	s, err := offline(cfg)
	if err != nil {
		return LettersDone{}, err
	}
	done, err := desk{cfg, s, s.Return}.do(ctx, verb, o, tell)
	return done, errors.Join(err, s.Close())
}

// desk is where orders about letters are carried out.
type desk struct {
	cfg   *config.Config
	store *store.Store
	give  func(context.Context, event.LetterFilter) (int, error) // dead -> returning
}

func (d desk) do(ctx context.Context, verb string, o LetterOrder, tell func(Letter)) (done LettersDone, err error) {
	if verb != "list" && !o.All && o.Sink == "" && o.Stream == "" && o.Reason == "" && o.From == "" && o.To == "" && len(o.IDs)+len(o.States) == 0 {
		return done, refuse("name letters by --id, --sink, --stream, --reason, --from or --to; --all means every one")
	}
	filters, err := d.filters(o)
	if err != nil {
		return done, err
	}
	if verb == "list" || verb == "show" {
		return d.tell(ctx, filters, o.Limit, verb == "show", tell)
	}
	change := d.store.Drop
	if verb == "replay" {
		change = d.give
	}
	for _, f := range filters {
		n, err := change(ctx, f)
		done.Letters += n
		var bad *store.DamagedLettersError
		if errors.As(err, &bad) {
			done.Damaged = append(done.Damaged, bad.IDs...)
		} else if err != nil {
			return done, fmt.Errorf("%w (%d letters were done before)", err, done.Letters)
		}
	}
	return done, nil
}

// tell gives the letters of all filters, ascending by ID.
func (d desk) tell(ctx context.Context, filters []event.LetterFilter, limit int, raw bool, tell func(Letter)) (done LettersDone, err error) {
	for _, f := range filters {
		n, err := d.store.CountLetters(f)
		if err != nil {
			return done, err
		}
		done.More += n
	}
	f, names := filters[0], labels(d.cfg, d.store)
	if len(filters) > 1 {
		f.Stream = "" // one way through the file for all
	}
	for l, fault := range d.store.AllLetters(f) {
		if fault != nil && l.ID == 0 {
			return done, fault
		}
		if len(filters) > 1 && !slices.ContainsFunc(filters, func(f event.LetterFilter) bool { return matches(f.Stream, l.Record.Key.String()) }) {
			continue
		}
		if limit > 0 && done.Letters == limit || ctx.Err() != nil {
			break
		}
		tell(letterOf(l, fault, names, raw))
		done.Letters++
	}
	done.More = max(0, done.More-done.Letters)
	return done, ctx.Err()
}

func letterOf(d event.DeadLetter, fault error, labels map[event.StreamKey]string, raw bool) Letter {
	l := Letter{
		ID: d.ID, State: d.State.String(), Sink: d.Sink, Stream: nameOf(labels, d.Record.Key), Key: d.Record.Key.String(), Record: d.Record.ID,
		Time: d.Record.Time, At: d.At, Reason: d.Reason, Reply: d.Reply, Attempts: d.Attempts, EventID: d.Record.EventID().String(),
	}
	if fault != nil {
		l.Fault = fault.Error()
	}
	if raw {
		l.Raw = d.Record.Raw
	}
	return l
}

func refuse(format string, args ...any) error {
	return &pipeline.OrderError{Reason: fmt.Sprintf(format, args...)}
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return pattern == name || ok && err == nil
}

// filters gives what the order means: one filter as a rule, one for each tenant where the source is a pattern of several.
func (d desk) filters(o LetterOrder) ([]event.LetterFilter, error) {
	f := event.LetterFilter{Sink: o.Sink, Reason: o.Reason}
	if o.Sink != "" {
		var sinks []string
		for _, l := range d.store.LaneStates() {
			sinks = append(sinks, l.Sink)
		}
		if !slices.Contains(sinks, o.Sink) {
			return nil, refuse("there is no sink %q: there are %s", o.Sink, strings.Join(sinks, ", "))
		}
	}
	for _, name := range o.States {
		states := []event.LetterState{event.Dead, event.Parked, event.Returning}
		i := slices.IndexFunc(states, func(s event.LetterState) bool { return s.String() == name })
		if i < 0 {
			return nil, refuse("there is no state %q: a letter is dead, parked or returning", name)
		}
		f.States = append(f.States, states[i])
	}
	for _, r := range o.IDs {
		if r[1] < r[0] || r[1]-r[0] >= mostIDs || uint64(len(f.IDs))+r[1]-r[0] >= mostIDs {
			return nil, refuse("%d-%d is no range of ids that one order can name: %d in all are most", r[0], r[1], mostIDs)
		}
		for i := range r[1] - r[0] + 1 {
			f.IDs = append(f.IDs, r[0]+i)
		}
	}
	if err := o.times(&f); err != nil {
		return nil, err
	}
	streams, err := d.streams(o.Stream)
	if err != nil {
		return nil, err
	}
	var all []event.LetterFilter
	for _, f.Stream = range streams {
		all = append(all, f)
	}
	return all, nil
}

// times reads the stretch, in the forms that verify takes.
func (o *LetterOrder) times(f *event.LetterFilter) error {
	for _, bound := range []struct {
		name, text string
		to         *time.Time
	}{{"from", o.From, &f.From}, {"to", o.To, &f.To}} {
		if bound.text == "" {
			continue
		}
		var at timeline.Start
		if err := at.UnmarshalText([]byte(bound.text)); err != nil {
			return refuse("%s: %v", bound.name, err)
		}
		if *bound.to = at.At; at.At.IsZero() {
			*bound.to = time.Now().Add(-at.Age).UTC()
		}
	}
	if o.From != "" && o.To != "" && !f.From.Before(f.To) {
		return refuse("nothing lies between from (%s) and to (%s)", f.From.Format(time.RFC3339), f.To.Format(time.RFC3339))
	}
	return nil
}

// streams gives the names or patterns, of streams or of their keys, that an operator's words stand for.
func (d desk) streams(words string) ([]string, error) {
	if _, err := path.Match(words, ""); err != nil {
		return nil, refuse("stream: %q is no pattern", words)
	}
	source, stream, ok := strings.Cut(words, "/")
	if !ok || strings.Contains(stream, "/") {
		return []string{words}, nil
	}
	var patterns, names []string
	for _, l := range tenants(d.cfg, d.store) {
		names = append(names, l.source)
		if matches(source, l.source) {
			patterns = append(patterns, literal.Replace(l.tenant.Cloud+"/"+l.tenant.Tenant)+"/"+stream)
		}
	}
	if len(patterns) == 0 {
		return nil, refuse("there is no source %s whose tenant the state file knows: there are %s", source, strings.Join(names, ", "))
	}
	slices.Sort(patterns)
	return slices.Compact(patterns), nil
}

// literal takes a pattern's special characters for what they are: a cloud may be an address in brackets.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
