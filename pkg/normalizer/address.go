package normalizer

import (
	"bytes"
	"net/netip"
	"strconv"
	"unsafe"
)

// address is an IP address as the record has it and as what it means.
type address struct {
	text text
	ip   netip.Addr // invalid when the text is no address (masked, "PII Removed")
	port uint16     // 0: none
}

// parseAddress understands the forms that records show: IPv4, IPv6, either with a port, IPv4 mapped into IPv6 (which becomes
// IPv4), zones (dropped), and a full IPv6 address with a stray "::" in front. Anything else keeps its text only.
func parseAddress(t text) address {
	a := address{text: t}
	host := []byte(t)
	switch {
	case len(host) > 0 && host[0] == '[':
		end := bytes.IndexByte(host, ']')
		if end < 0 {
			return a
		}
		port, ok := parsePort(host[end+1:])
		if !ok {
			return a
		}
		host, a.port = host[1:end], port
	case bytes.IndexByte(host, '.') >= 0 && bytes.Count(host, colon) == 1:
		i := bytes.IndexByte(host, ':')
		port, ok := parsePort(host[i:])
		if !ok {
			return a
		}
		host, a.port = host[:i], port
	}
	if i := bytes.IndexByte(host, '%'); i >= 0 {
		host = host[:i]
	}
	if glued := 9; bytes.HasPrefix(host, doubleColon) && bytes.Count(host, colon) == glued {
		host = host[len(doubleColon):]
	}
	if !addressLike(host) {
		return address{text: t}
	}
	ip, err := netip.ParseAddr(view(host))
	if err != nil {
		return address{text: t}
	}
	a.ip = ip.Unmap()
	return a
}

var (
	colon       = []byte(":")
	doubleColon = []byte("::")
)

// parsePort reads ":443"; nothing is no port.
func parsePort(b []byte) (uint16, bool) {
	if len(b) == 0 {
		return 0, true
	}
	if b[0] != ':' || len(b) < 2 || len(b) > 6 {
		return 0, false
	}
	port := 0
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return 0, false
		}
		port = port*10 + int(c-'0')
	}
	return uint16(port), port <= 65535
}

// addressLike spares netip the words that would cost it an error.
func addressLike(b []byte) bool {
	for _, c := range b {
		if c != '.' && c != ':' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return len(b) > 0
}

// view lends bytes to a parser that takes a string and keeps none of it: a conversion would allocate. The string must not
// outlive the call that it is made for.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// coordinate tells whether a number's text is a coordinate within +-limit degrees and whether it is zero.
func coordinate(number []byte, limit float64) (ok, zero bool) {
	if longest := 32; len(number) == 0 || len(number) > longest { // a float64 in full takes 24 bytes
		return false, false
	}
	v, err := strconv.ParseFloat(view(number), 64)
	return err == nil && v >= -limit && v <= limit, v == 0
}
