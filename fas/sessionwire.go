package fas

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// A session travels behind a message's JSON and never in it: keys have no
// business in the buffers that encoding/json keeps. It is encoded and decoded
// here, and nowhere else.

// encode returns what decodeSession reads: each text and list behind its
// length. The caller wipes it.
func (s *Session) encode() []byte {
	b := make([]byte, 0, 1<<10)
	room := func(n int) {
		if cap(b)-len(b) < n {
			old := b
			b = append(make([]byte, 0, 2*cap(b)+n), b...)
			clear(old) // it may hold keys
		}
	}
	number := func(n uint64) { room(binary.MaxVarintLen64); b = binary.AppendUvarint(b, n) }
	text := func(s string) { number(uint64(len(s))); room(len(s)); b = append(b, s...) }
	secret := func(p []byte) error { number(uint64(len(p))); room(len(p)); b = append(b, p...); return nil }
	for _, id := range [...]string{s.id.String(), s.tenant.String(), idText(s.user), idText(s.customization), idText(s.collection), idText(s.snapshot)} {
		text(id)
	}
	room(len(s.manifest))
	b = append(b, s.manifest[:]...)
	number(uint64(s.version))
	number(uint64(s.expires.Unix()))
	number(uint64(s.expires.Nanosecond()))
	number(uint64(len(s.verbs)))
	for _, v := range s.verbs {
		text(string(v))
	}
	number(uint64(len(s.spans)))
	for _, p := range s.spans {
		text(p.Name)
		number(uint64(p.Took))
	}
	number(uint64(len(s.keys)))
	for _, v := range slices.Sorted(maps.Keys(s.keys)) {
		text(string(v))
		if s.keys[v].Use(secret) != nil {
			number(0) // destroyed meanwhile: none, which nobody decodes
		}
	}
	if c := s.creds; c == nil {
		number(0)
	} else {
		number(1)
		for _, t := range [...]string{c.AccessKeyID, c.Token, c.Bucket, c.Prefix} {
			text(t)
		}
		if c.Secret.Use(secret) != nil {
			number(0)
		}
	}
	return b
}

// reading is the rest of what encode wrote; it is empty after an error.
type reading struct {
	b   []byte
	bad bool
}

func (r *reading) number() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reading) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reading) bytes() []byte { return r.take(r.count()) }

func (r *reading) text() string { return string(r.bytes()) }

// count is the length of a text, or of a list whose items take a byte or more.
func (r *reading) count() int {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return 0
	}
	return int(n)
}

// decodeSession reads what encode wrote, and keeps nothing of b.
func decodeSession(b []byte) (s *Session, err error) {
	r := &reading{b: b}
	s = &Session{keys: map[Verb]tenant.Secret{}}
	defer func() {
		if err != nil {
			_, s = s.Close(), nil
		}
	}()
	for _, id := range [...]interface{ UnmarshalText([]byte) error }{&s.id, &s.tenant, &s.user, &s.customization, &s.collection, &s.snapshot} {
		if p := r.bytes(); len(p) > 0 && id.UnmarshalText(p) != nil {
			return s, ErrInternal
		}
	}
	copy(s.manifest[:], r.take(len(s.manifest)))
	s.version = int(r.number())
	s.expires = time.Unix(int64(r.number()), int64(r.number())).UTC()
	for range r.count() {
		s.verbs = append(s.verbs, Verb(r.text()))
	}
	for range r.count() {
		s.spans = append(s.spans, Span{r.text(), time.Duration(r.number())})
	}
	for range r.count() {
		v, k := Verb(r.text()), r.bytes()
		if _, twice := s.keys[v]; twice || len(k) != 32 {
			return s, ErrInternal
		}
		s.keys[v] = tenant.NewSecret(slices.Clone(k))
	}
	if r.count() > 0 {
		s.creds = &Credentials{AccessKeyID: r.text(), Token: r.text(), Bucket: r.text(), Prefix: r.text()}
		secret := r.bytes()
		if len(secret) == 0 {
			return s, ErrInternal
		}
		s.creds.Secret = tenant.NewSecret(slices.Clone(secret))
	}
	if r.bad || len(r.b) > 0 || s.id.IsZero() || s.tenant.IsZero() || len(s.verbs) == 0 {
		return s, ErrInternal
	}
	return s, nil
}
