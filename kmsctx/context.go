package kmsctx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrContext         = errors.New("kmsctx: encryption context not accepted")
	ErrContextMismatch = errors.New("kmsctx: encryption context does not match")
	ErrNoMatchingKey   = errors.New("kmsctx: no encrypted data key opens")
	ErrCommitment      = errors.New("kmsctx: key commitment does not match")
	ErrHeaderAuth      = errors.New("kmsctx: header does not verify")
	ErrFrameAuth       = errors.New("kmsctx: frame does not verify")
	ErrTruncated       = errors.New("kmsctx: message is cut off")
	ErrTrailing        = errors.New("kmsctx: bytes after the message")
	ErrMalformed       = errors.New("kmsctx: not a message")
	ErrUnsupported     = errors.New("kmsctx: version or suite not supported")
	ErrLimit           = errors.New("kmsctx: limit exceeded")
)

const (
	maxPairs   = 8
	maxContext = 384
)

// Context is an immutable encryption context. The zero value is refused
// everywhere.
type Context struct {
	pairs     map[string]string
	canonical []byte
}

// NewContext makes a context of one to eight pairs, of at most 384 characters
// in total, so that it always fits the constraint of a KMS grant. Keys are
// lower-case letters, digits and . _ - /, values printable ASCII; keys that
// start with "aws" are reserved. Lower case keeps the order of keys the same
// in every implementation's sorting.
func NewContext(pairs map[string]string) (Context, error) {
	if len(pairs) == 0 || len(pairs) > maxPairs {
		return Context{}, fmt.Errorf("%w: %d pairs, 1 to %d are accepted", ErrContext, len(pairs), maxPairs)
	}
	own := make(map[string]string, len(pairs))
	total := 0
	for k, v := range pairs {
		if !validKey(k) || !validValue(v) {
			return Context{}, fmt.Errorf("%w: a key or value has characters outside the accepted set", ErrContext)
		}
		total += len(k) + len(v)
		own[k] = v
	}
	if total > maxContext {
		return Context{}, fmt.Errorf("%w: %d characters, at most %d are accepted", ErrContext, total, maxContext)
	}
	return Context{own, serialize(own)}, nil
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
func (c Context) IsZero() bool { return len(c.pairs) == 0 }

// Pairs returns a copy of the pairs.
func (c Context) Pairs() map[string]string {
	out := make(map[string]string, len(c.pairs))
	for k, v := range c.pairs {
		out[k] = v
	}
	return out
}

// Canonical returns the serialization of the message format: the pair count
// and length-prefixed pairs, sorted by key. The caller must not change it.
func (c Context) Canonical() []byte { return c.canonical }

// Equal reports whether both contexts have the same pairs.
func (c Context) Equal(o Context) bool {
	return !c.IsZero() && string(c.canonical) == string(o.canonical)
}

func serialize(pairs map[string]string) []byte {
	keys := make([]string, 0, len(pairs))
	for k := range pairs {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	b := binary.BigEndian.AppendUint16(nil, uint16(len(keys)))
	for _, k := range keys {
		b = binary.BigEndian.AppendUint16(b, uint16(len(k)))
		b = append(b, k...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(pairs[k])))
		b = append(b, pairs[k]...)
	}
	return b
}
