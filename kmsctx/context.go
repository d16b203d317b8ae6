package kmsctx

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxPairs   = 8
	maxContext = 384
	// maxWire is the longest serialization that the format's length field holds.
	maxWire = 1<<16 - 1
	// reserved is the prefix that the format keeps for itself.
	reserved = "aws-crypto-"
	// signerKey carries the public key of a signed message.
	signerKey = reserved + "public-key"
)

// Context is an immutable encryption context: what a message is bound to, in
// the open. The zero value is refused everywhere. It is safe for concurrent
// use.
type Context struct {
	pairs     map[string]string
	canonical []byte
	made      bool
}

// NewContext makes a context of one to eight pairs, of at most 384 characters
// in total, so that it always fits the constraint of a KMS grant. Keys are
// lower-case letters, digits and . _ - /, values printable ASCII without
// spaces, and neither is empty; keys that start with "aws" are reserved. Lower
// case keeps the order of keys the same in every implementation's sorting, and
// keys distinct where a service compares them without case. Errors wrap
// [ErrContext].
func NewContext(pairs map[string]string) (Context, error) {
	if len(pairs) == 0 || len(pairs) > maxPairs {
		return Context{}, fail(ErrContext, "%d pairs, 1 to %d are accepted", len(pairs), maxPairs)
	}
	total := 0
	for k, v := range pairs {
		if !validKey(k) {
			return Context{}, fail(ErrContext, "key %.64q: only a-z, 0-9 and . _ - /, not empty, and not beginning with aws", k)
		}
		if !validValue(v) {
			return Context{}, fail(ErrContext, "the value of %.64q: only printable ASCII without spaces, and not empty", k)
		}
		total += len(k) + len(v)
	}
	if total > maxContext {
		return Context{}, fail(ErrContext, "%d characters, at most %d are accepted", total, maxContext)
	}
	return contextOf(pairs), nil
}

// ForeignContext makes a context for messages that another program writes or
// reads: any pairs that the format can carry, in any script and case, or none
// at all. It refuses what no implementation may write: keys reserved with
// "aws-crypto-", an empty key, text that is not UTF-8, more than 65,535 bytes
// in total. Errors wrap [ErrContext].
//
// Messages of your own deserve [NewContext]: a context that a grant cannot
// constrain, or that two implementations sort differently, is found out late.
func ForeignContext(pairs map[string]string) (Context, error) {
	if len(pairs) > maxWire {
		return Context{}, fail(ErrContext, "%d pairs", len(pairs))
	}
	total := 2
	for k, v := range pairs {
		if k == "" || strings.HasPrefix(k, reserved) || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return Context{}, fail(ErrContext, "a key is empty or reserved, or a text is not UTF-8")
		}
		total += 4 + len(k) + len(v)
	}
	if total > maxWire {
		return Context{}, fail(ErrContext, "%d bytes", total)
	}
	return contextOf(pairs), nil
}

// contextOf takes pairs as they are: those of an authentic header too.
func contextOf(pairs map[string]string) Context {
	return Context{maps.Clone(pairs), serialize(pairs), true}
}

func validKey(k string) bool {
	if k == "" || strings.HasPrefix(k, "aws") {
		return false
	}
	for i := range len(k) {
		c := k[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("._-/", c) < 0 {
			return false
		}
	}
	return true
}

func validValue(v string) bool {
	if v == "" {
		return false
	}
	for i := range len(v) {
		if v[i] < 0x21 || v[i] > 0x7e {
			return false
		}
	}
	return true
}

// IsZero reports whether this is the invalid zero value.
func (c Context) IsZero() bool { return !c.made }

// Pairs returns a copy of the pairs.
func (c Context) Pairs() map[string]string {
	out := make(map[string]string, len(c.pairs))
	maps.Copy(out, c.pairs)
	return out
}

// Canonical returns the serialization of the message format: the pair count
// and length-prefixed pairs, sorted by key; nothing for a context without
// pairs. The caller must not change it.
func (c Context) Canonical() []byte { return c.canonical }

// Equal reports whether both contexts have the same pairs. The zero value
// equals nothing.
func (c Context) Equal(o Context) bool {
	return c.made && o.made && string(c.canonical) == string(o.canonical)
}

// serialize writes pairs in the order of their keys' bytes. No pairs are no
// bytes, not even a count.
func serialize(pairs map[string]string) []byte {
	if len(pairs) == 0 {
		return nil
	}
	n := 2
	for k, v := range pairs {
		n += 4 + len(k) + len(v)
	}
	b := binary.BigEndian.AppendUint16(make([]byte, 0, n), uint16(len(pairs)))
	keys := slices.AppendSeq(make([]string, 0, len(pairs)), maps.Keys(pairs))
	slices.Sort(keys)
	for _, k := range keys {
		b = binary.BigEndian.AppendUint16(b, uint16(len(k)))
		b = append(b, k...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(pairs[k])))
		b = append(b, pairs[k]...)
	}
	return b
}

// parsePairs reads a serialization. Pairs in another order are accepted, as
// some writers do not sort by bytes; a key twice is not.
func parsePairs(b []byte) (map[string]string, error) {
	if len(b) == 0 {
		return nil, nil
	}
	c := cursor{b: b}
	n := c.u16()
	if n == 0 || n > len(b)/4 {
		return nil, fail(ErrMalformed, "context of %d pairs in %d bytes", n, len(b))
	}
	pairs := make(map[string]string, n)
	for range n {
		k, v := string(c.take(c.u16())), string(c.take(c.u16()))
		if _, twice := pairs[k]; c.short || twice || k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, fail(ErrMalformed, "context pair")
		}
		pairs[k] = v
	}
	if len(c.b) > 0 {
		return nil, fail(ErrMalformed, "bytes after the context")
	}
	return pairs, nil
}
