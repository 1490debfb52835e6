package entra

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/logferry/logferry/pkg/jsonscan"
)

// DigestVersion is the version of the digest's algorithm. Any change that gives a known record another digest must raise it:
// otherwise every record that is read again after the upgrade would look like an update.
const DigestVersion = 1

// Seeds keep kinds of values apart: {} from [], "1" from 1. They are arbitrary and part of DigestVersion.
const (
	seedObject uint64 = 0x8f1c3a5d27b94e61
	seedArray  uint64 = 0x3d86e20f5bc7a194
	seedString uint64 = 0xc2a7519e0d4f6b38
	seedNumber uint64 = 0x57e90b34f1d8c26a
	seedNull   uint64 = 0xe4138d6fa2590bc7
	seedTrue   uint64 = 0x1b6f94c8703ed5a2
	seedFalse  uint64 = 0xa95d07e23c81f64b
)

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of x moves every bit of the result.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// pair mixes two digests in such a way that pair(a, b) != pair(b, a).
func pair(a, b uint64) uint64 {
	return mix(bits.RotateLeft64(mix(a+0x9e3779b97f4a7c15), 29) + b)
}

// digester computes digests. Its zero value is ready; it keeps a buffer for strings with escapes.
type digester struct {
	text []byte
}

// value consumes the value that r stands at and gives its digest: a sum over the members of an object (their order does not
// count), a chain over the elements of an array, strings by what they stand for, numbers as they are written.
func (d *digester) value(r *jsonscan.Reader) uint64 {
	switch r.Kind() {
	case jsonscan.Object:
		if !r.Object() {
			return 0
		}
		var sum uint64
		for {
			key, ok := r.Member()
			if !ok {
				return mix(sum ^ seedObject)
			}
			// The key's bytes may be unescaped into the buffer that the value uses: hash them first.
			k := d.string(r, key)
			sum += pair(k, d.value(r))
		}
	case jsonscan.Array:
		if !r.Array() {
			return 0
		}
		chain := seedArray
		for r.Element() {
			chain = pair(chain, d.value(r))
		}
		return mix(chain)
	case jsonscan.String:
		return mix(d.string(r, r.Text()) ^ seedString)
	case jsonscan.Number:
		return mix(xxhash.Sum64(r.Value()) ^ seedNumber)
	default:
		literal := r.Value()
		if len(literal) == 0 {
			return 0 // r has failed
		}
		switch literal[0] {
		case 't':
			return seedTrue
		case 'f':
			return seedFalse
		}
		return seedNull
	}
}

// string hashes the inside of the JSON string that r consumed last by the text that it stands for.
func (d *digester) string(r *jsonscan.Reader, s []byte) uint64 {
	if r.Escaped() {
		s = d.unescape(s)
	}
	return xxhash.Sum64(s)
}

// unescape gives the text of the inside of a JSON string; valid until the next call.
func (d *digester) unescape(s []byte) []byte {
	text := jsonscan.Unescape(d.text, s)
	if cap(text) > cap(d.text) && len(text) != len(s) {
		d.text = text[:0]
	}
	return text
}
