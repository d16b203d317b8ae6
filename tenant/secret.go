package tenant

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
)

// ErrDestroyed is returned when a secret is used after Destroy, or was never
// set.
var ErrDestroyed = errors.New("tenant: secret destroyed or never set")

// Secret holds key material. It never prints or marshals. It is safe for
// concurrent use; the zero value holds nothing and refuses use.
type Secret struct{ p *secretValue }

type secretValue struct {
	mu   sync.RWMutex
	b    []byte
	dead bool
}

// NewSecret takes ownership of b; the caller must not use b afterwards. When
// the last copy of the Secret is dropped without Destroy, the bytes are wiped
// by the garbage collector's cleanup, best effort.
func NewSecret(b []byte) Secret {
	v := &secretValue{b: b}
	runtime.AddCleanup(v, func(b []byte) { clear(b) }, b)
	return Secret{v}
}

// Use calls f with the bytes. They are valid only during the call and must not
// be kept. It returns [ErrDestroyed], or what f returns.
func (s Secret) Use(f func(b []byte) error) error {
	if s.p == nil {
		return ErrDestroyed
	}
	s.p.mu.RLock()
	defer s.p.mu.RUnlock()
	if s.p.dead {
		return ErrDestroyed
	}
	return f(s.p.b)
}

// Equal compares in constant time. A destroyed secret equals nothing.
func (s Secret) Equal(b []byte) bool {
	eq := false
	_ = s.Use(func(a []byte) error { eq = subtle.ConstantTimeCompare(a, b) == 1; return nil })
	return eq
}

// Destroy overwrites the bytes. It waits for calls of Use, and is harmless
// twice.
func (s Secret) Destroy() {
	if s.p == nil {
		return
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	clear(s.p.b)
	s.p.dead = true
}

const redacted = "[secret]"

// String returns "[secret]".
func (Secret) String() string { return redacted }

// GoString returns "[secret]".
func (Secret) GoString() string { return redacted }

// Format writes "[secret]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText fails: a secret is written only by code that asks for its bytes.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("tenant: a secret does not marshal")
}
