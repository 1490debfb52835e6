package normalizer

import (
	"bytes"
	"net/netip"
	"slices"
)

// mostRelated bounds each list of related things: the record holds the rest. Lists are searched from end to end.
const mostRelated = 256

// related collects who and what an event has to do with, each once.
type related struct {
	users, hosts []text
	ips          []netip.Addr
	entities     []text // profile elastic only
}

func (r *related) reset() {
	clear(r.users)
	clear(r.hosts)
	clear(r.entities)
	r.entities = r.entities[:0]
	r.users, r.hosts, r.ips = r.users[:0], r.hosts[:0], r.ips[:0]
}

func (r *related) user(names ...text) {
	for _, t := range names {
		r.users = addText(r.users, t)
	}
}

func (r *related) entity(ids ...text) {
	for _, t := range ids {
		r.entities = addText(r.entities, t)
	}
}

func (r *related) host(name text) { r.hosts = addText(r.hosts, name) }

func addText(list []text, t text) []text {
	if t == nil || len(list) >= mostRelated || slices.ContainsFunc(list, func(o text) bool { return bytes.Equal(o, t) }) {
		return list
	}
	return append(list, t)
}

func (r *related) ip(a address) {
	if a.ip.IsValid() && !slices.Contains(r.ips, a.ip) {
		r.ips = append(r.ips, a.ip)
	}
}
