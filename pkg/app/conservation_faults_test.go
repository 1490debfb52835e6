package app_test

import (
	"time"

	"github.com/logferry/logferry/pkg/fetcher/entra/simulator"
)

// drawRules draws what the service does wrong: a little of everything all the time, and a few times for hours.
func (f *fate) drawRules() {
	// Each happens in half of the worlds, to one request in a hundred or more.
	for _, r := range []simulator.Rule{
		{Kind: simulator.Throttle, RetryAfter: "3.517"}, {Kind: simulator.Throttle, RetryAfter: "date 20s"}, {Kind: simulator.Throttle},
		{Kind: simulator.ServerError}, {Kind: simulator.ServerError, Status: 504}, {Kind: simulator.ServerError, RetryAfter: "30"},
		{Kind: simulator.Reset}, {Kind: simulator.ExpiredToken}, {Kind: simulator.ExpiredLink}, {Kind: simulator.Slow, Delay: 7 * time.Second},
		{Kind: simulator.Slow, Delay: 3 * time.Minute}, {Kind: simulator.Garbage}, {Kind: simulator.Garbage, Form: "html"}, {Kind: simulator.Truncate},
		{Kind: simulator.Truncate, Form: "short"}, {Kind: simulator.LoopLink}, {Kind: simulator.CycleLink}, {Kind: simulator.ForeignLink},
		{Kind: simulator.EmptyLink}, {Kind: simulator.EmptyPage}, {Kind: simulator.DuplicateRows, Rows: 3}, {Kind: simulator.DuplicateAcross, Rows: 2},
		{Kind: simulator.ServerError, Path: "oauth2"}, {Kind: simulator.Reset, Path: "oauth2"},
	} {
		if f.chance(0.5) {
			r.Probability, r.Until = 0.005+f.Float64()*0.03, conserved
			f.rules = append(f.rules, r)
		}
	}
	// An empty page is the one fault that every world has: without it there might be no nextLink to go wrong.
	f.rules = append(f.rules, simulator.Rule{Kind: simulator.EmptyPage, Probability: 0.03, Until: conserved})
	f.drawOutages()
	f.drawOddities()
}

// drawOutages draws storms and outages of hours, of everything or of one stream.
func (f *fate) drawOutages() {
	kinds := []simulator.Rule{
		{Kind: simulator.Throttle, Probability: 0.6, RetryAfter: "45"}, {Kind: simulator.Throttle, RetryAfter: "date 60s"}, {Kind: simulator.ServerError},
		{Kind: simulator.ServerError, Status: 504, Probability: 0.8}, {Kind: simulator.Reset}, {Kind: simulator.Slow, Delay: 3 * time.Minute},
		{Kind: simulator.ExpiredToken, Probability: 0.5}, {Kind: simulator.NoLicence}, {Kind: simulator.NoRole}, {Kind: simulator.Garbage, Form: "html"},
		{Kind: simulator.Truncate, Probability: 0.9}, {Kind: simulator.ServerError, Path: "oauth2"}, {Kind: simulator.LoopLink}, {Kind: simulator.ExpiredLink},
	}
	for range 2 + f.IntN(2) {
		r := kinds[f.IntN(len(kinds))]
		r.From = f.between(time.Hour, 44*time.Hour)
		r.Until = r.From + f.between(20*time.Minute, 150*time.Minute)
		if r.Path == "" && f.chance(0.3) {
			r.Stream = f.streams[f.IntN(len(f.streams))]
		}
		f.rules, f.outages = append(f.rules, r), append(f.outages, r)
	}
	if f.chance(0.5) && (len(f.ages) > 0 || !skewNeedsRereaders) {
		r := simulator.Rule{Kind: simulator.DateSkew, Skew: mostSkew, From: f.between(2*time.Hour, 40*time.Hour)}
		if f.chance(0.5) {
			r.Skew = -mostSkew
		}
		r.Until = r.From + f.between(time.Hour, 2*time.Hour)
		f.rules = append(f.rules, r)
	}
}

// drawOddities draws what shows records where they do not belong, or spoils them.
func (f *fate) drawOddities() {
	if f.odd == "" {
		return
	}
	for _, r := range []simulator.Rule{
		{Kind: simulator.OutsideRows, Rows: 5}, {Kind: simulator.IgnoreFilter}, {Kind: simulator.NoID}, {Kind: simulator.NoTime},
		{Kind: simulator.HugeRecord, Size: 20_000},
	} {
		if f.chance(0.6) {
			r.Stream, r.Probability, r.Until = f.odd, 0.01+f.Float64()*0.04, conserved
			f.rules = append(f.rules, r)
		}
	}
}
