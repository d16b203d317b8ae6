package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"hash"
	"sync"
)

// hasher is what the standard library's SHA-256 offers: its state can be kept.
type hasher interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// scratch is what one call needs and leaves nothing in.
type scratch struct {
	h      hasher
	out    []byte // canonical request, or string to sign
	query  []byte
	pairs  []pair
	header []byte // a name as header maps have it
	block  [sha256.BlockSize]byte
	sum    [sha256.Size]byte
	mac    mac
}

// mac is HMAC-SHA256 with its key already hashed in: the two states of RFC
// 2104 §4. Unlike a hash.Hash it can be shared by goroutines, and wiped.
type mac struct{ inner, outer []byte }

func (m *mac) wipe() { clear(m.inner); clear(m.outer) }

func (m *mac) copy(from *mac) {
	m.inner, m.outer = append(m.inner[:0], from.inner...), append(m.outer[:0], from.outer...)
}

func (m *mac) clone() *mac { return &mac{bytes.Clone(m.inner), bytes.Clone(m.outer)} }

// maxKept is the largest buffer that goes back to the pool.
const maxKept = 64 << 10

var pool = sync.Pool{New: func() any { return &scratch{h: sha256.New().(hasher)} }}

func borrow() *scratch { return pool.Get().(*scratch) }

// release wipes what a key left.
func (s *scratch) release() {
	s.mac.wipe()
	clear(s.block[:])
	clear(s.sum[:])
	s.h.Reset()
	if cap(s.out)+cap(s.query) <= maxKept {
		pool.Put(s)
	}
}

// hash returns the SHA-256 of b.
func (s *scratch) hash(b []byte) [sha256.Size]byte {
	s.h.Reset()
	s.h.Write(b)
	s.h.Sum(s.sum[:0])
	return s.sum
}

// key makes s.mac ready for HMAC with this key.
func (s *scratch) key(k ...[]byte) {
	clear(s.block[:])
	n := 0
	for _, p := range k {
		n += len(p)
	}
	if n > len(s.block) {
		s.h.Reset()
		for _, p := range k {
			s.h.Write(p)
		}
		s.h.Sum(s.block[:0])
	} else {
		b := s.block[:0]
		for _, p := range k {
			b = append(b, p...)
		}
	}
	s.mac.inner = s.padded(s.mac.inner, 0x36)
	s.mac.outer = s.padded(s.mac.outer, 0x5c)
	clear(s.block[:])
}

func (s *scratch) padded(state []byte, with byte) []byte {
	for i := range s.block {
		s.block[i] ^= with
	}
	s.h.Reset()
	s.h.Write(s.block[:])
	for i := range s.block {
		s.block[i] ^= with
	}
	// A state of SHA-256 that cannot be read back is a broken standard library.
	state, err := s.h.AppendBinary(state[:0])
	if err != nil {
		panic("sigv4: " + err.Error())
	}
	return state
}

// sign leaves the HMAC of msg in s.sum.
func (s *scratch) sign(msg []byte) {
	s.resume(s.mac.inner)
	s.h.Write(msg)
	s.h.Sum(s.sum[:0])
	s.resume(s.mac.outer)
	s.h.Write(s.sum[:])
	s.h.Sum(s.sum[:0])
}

func (s *scratch) resume(state []byte) {
	if err := s.h.UnmarshalBinary(state); err != nil {
		panic("sigv4: " + err.Error())
	}
}

// derive makes s.mac the signing key of a day, region and service. It uses
// s.query for the text.
func (s *scratch) derive(secret []byte, day, region, service string) {
	s.query = append(s.query[:0], "AWS4"...)
	s.key(s.query, secret)
	for _, step := range [...]string{day, region, service, terminator} {
		s.query = append(s.query[:0], step...)
		s.sign(s.query)
		s.key(s.sum[:])
	}
}
