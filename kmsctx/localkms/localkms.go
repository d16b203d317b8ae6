package localkms

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"

	"github.com/cloisterdev/cloister/kmsctx"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrNotAuthorized     = errors.New("localkms: not authorized")
	ErrKeyDisabled       = errors.New("localkms: key disabled")
	ErrUnknown           = errors.New("localkms: no such key")
	ErrInvalidCiphertext = errors.New("localkms: invalid ciphertext")
	ErrCorrupt           = errors.New("localkms: store does not open")
)

// Grant lets its holder use a key for contexts that hold all pairs of Subset.
type Grant struct {
	ID     string            `json:"id"`
	KeyID  string            `json:"key"`
	Name   string            `json:"name"`
	Subset map[string]string `json:"subset"`
}

const idLen, maxName = 16, 256

func newID() string {
	b := make([]byte, idLen)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// validName accepts what JSON keeps byte for byte and associated data cannot
// confuse.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// EnsureKey makes the key of that name, if there is none. A name is printable
// ASCII without spaces, at most 256 bytes.
func (k *KMS) EnsureKey(_ context.Context, id string) error {
	if !validName(id) {
		return ErrUnknown
	}
	return k.change(func(s *state) (bool, error) {
		if s.Keys[id] != nil {
			return false, nil
		}
		m := make([]byte, kmsctx.DataKeyLen)
		_, _ = rand.Read(m)
		s.Keys[id] = &key{Material: m}
		return true, nil
	})
}

// SetDisabled disables or enables a key; it takes effect for the next call.
func (k *KMS) SetDisabled(_ context.Context, id string, disabled bool) error {
	return k.change(func(s *state) (bool, error) {
		key := s.Keys[id]
		if key == nil {
			return false, ErrUnknown
		}
		old := key.Disabled
		key.Disabled = disabled
		return old != disabled, nil
	})
}

// CreateGrant makes a grant. With the same name, key and constraint it returns
// the grant that exists. A name is like a key's; an empty constraint, and one
// that no context can meet, are refused.
func (k *KMS) CreateGrant(_ context.Context, keyID, name string, subset map[string]string) (id string, err error) {
	if !validName(name) || len(subset) == 0 {
		return "", fmt.Errorf("%w: a grant needs a name and a constraint", ErrNotAuthorized)
	}
	if _, err := kmsctx.NewContext(subset); err != nil {
		return "", err
	}
	err = k.change(func(s *state) (bool, error) {
		key := s.Keys[keyID]
		if key == nil {
			return false, ErrUnknown
		}
		if key.Disabled {
			return false, ErrKeyDisabled
		}
		for _, g := range s.Grants {
			if g.KeyID == keyID && g.Name == name && maps.Equal(g.Subset, subset) {
				id = g.ID
				return false, nil
			}
		}
		id = newID()
		s.Grants[id] = &Grant{id, keyID, name, maps.Clone(subset)}
		return true, nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// RetireGrant ends a grant. It is harmless twice.
func (k *KMS) RetireGrant(_ context.Context, id string) error {
	return k.change(func(s *state) (bool, error) {
		live := s.Grants[id] != nil
		delete(s.Grants, id)
		return live, nil
	})
}

// Grants lists the live grants, as of the last time that the store could be
// read.
func (k *KMS) Grants() []Grant {
	s, err := k.current()
	if err != nil {
		s = &k.now.Load().state
	}
	var out []Grant
	for _, g := range s.Grants {
		c := *g
		c.Subset = maps.Clone(g.Subset)
		out = append(out, c)
	}
	return out
}

// use finds the key that a grant opens for a context.
func (k *KMS) use(grant string, ec kmsctx.Context) (*Grant, *key, error) {
	if ec.IsZero() {
		return nil, nil, kmsctx.ErrContext
	}
	s, err := k.current()
	if err != nil {
		return nil, nil, err
	}
	g := s.Grants[grant]
	if g == nil {
		return nil, nil, ErrNotAuthorized
	}
	pairs := ec.Pairs()
	for n, v := range g.Subset {
		if w, ok := pairs[n]; !ok || w != v {
			return nil, nil, ErrNotAuthorized
		}
	}
	key := s.Keys[g.KeyID]
	if key.Disabled {
		return nil, nil, ErrKeyDisabled
	}
	return g, key, nil
}

// A wrapped data key is a salt, a nonce, the key and a tag.
const (
	saltLen    = 24
	wrappedLen = saltLen + 12 + kmsctx.DataKeyLen + 16
)

// wrapper derives a cipher for one wrapping, so that the number of wrappings
// under a key is not bounded by its random nonces.
func wrapper(k *key, salt []byte) (cipher.AEAD, error) {
	d, err := hkdf.Key(sha256.New, k.Material, salt, "cloister/localkms/wrap", kmsctx.DataKeyLen)
	if err != nil {
		return nil, err
	}
	defer clear(d)
	return gcm(d)
}

func associated(keyID string, ec kmsctx.Context) []byte {
	return append([]byte(keyID+"\x00"), ec.Canonical()...)
}

// GenerateDataKey makes a data key under a grant, bound to the context.
func (k *KMS) GenerateDataKey(_ context.Context, grant string, ec kmsctx.Context) (plain, wrapped []byte, err error) {
	g, key, err := k.use(grant, ec)
	if err != nil {
		return nil, nil, err
	}
	plain = make([]byte, kmsctx.DataKeyLen)
	_, _ = rand.Read(plain)
	salt := make([]byte, saltLen, wrappedLen)
	_, _ = rand.Read(salt)
	a, err := wrapper(key, salt)
	if err != nil {
		return nil, nil, err
	}
	return plain, a.Seal(salt, nil, plain, associated(g.KeyID, ec)), nil
}

// Decrypt unwraps a data key under a grant, for exactly its context.
func (k *KMS) Decrypt(_ context.Context, grant string, ec kmsctx.Context, wrapped []byte) ([]byte, error) {
	g, key, err := k.use(grant, ec)
	if err != nil {
		return nil, err
	}
	if len(wrapped) != wrappedLen {
		return nil, ErrInvalidCiphertext
	}
	a, err := wrapper(key, wrapped[:saltLen])
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, nil, wrapped[saltLen:], associated(g.KeyID, ec))
	if err != nil {
		return nil, ErrInvalidCiphertext
	}
	return plain, nil
}
