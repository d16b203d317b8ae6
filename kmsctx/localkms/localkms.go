package localkms

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Grant lets its holder use a key for contexts that hold all pairs of Subset.
type Grant struct {
	ID     string
	KeyID  string
	Name   string
	Subset map[string]string
}

const idLen, maxName = 16, 256

func newID() string {
	b := make([]byte, idLen)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func newMaterial() []byte {
	m := make([]byte, kmsctx.DataKeyLen)
	_, _ = rand.Read(m)
	return m
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
		s.Keys[id] = newKey(time.Now())
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
		if key.Delete > 0 {
			return false, ErrPendingDeletion
		}
		old := key.Disabled
		key.Disabled = disabled
		return old != disabled, nil
	})
}

// Rotate gives a key new material. What the old wrapped still opens.
func (k *KMS) Rotate(_ context.Context, id string) error {
	return k.change(func(s *state) (bool, error) {
		now := time.Now()
		key, err := s.usable(id, now)
		if err != nil {
			return false, err
		}
		key.rotate(now, true)
		return true, nil
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
		if _, err := s.usable(keyID, time.Now()); err != nil {
			return false, err
		}
		for _, g := range s.Grants {
			if g.capability() && g.KeyID == keyID && g.Name == name && maps.Equal(g.Subset, subset) {
				id = g.ID
				return false, nil
			}
		}
		id = newID()
		s.Grants[id] = &grant{ID: id, KeyID: keyID, Name: name, Subset: maps.Clone(subset)}
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

// Grants lists the live grants that [KMS.CreateGrant] made, as of the last time
// that the store could be read.
func (k *KMS) Grants() []Grant {
	s, err := k.current()
	if err != nil {
		s = &k.now.Load().state
	}
	var out []Grant
	for _, g := range s.Grants {
		if g.capability() {
			out = append(out, Grant{g.ID, g.KeyID, g.Name, maps.Clone(g.Subset)})
		}
	}
	return out
}

// use finds the key that a grant opens for a context. Grants to principals are
// not the holder's to use here.
func (k *KMS) use(id string, ec kmsctx.Context, encrypt bool) (*grant, *key, error) {
	if ec.IsZero() {
		return nil, nil, kmsctx.ErrContext
	}
	s, err := k.state(encrypt)
	if err != nil {
		return nil, nil, err
	}
	g := s.Grants[id]
	if g == nil || !g.capability() {
		return nil, nil, ErrNotAuthorized
	}
	pairs := ec.Pairs()
	for n, v := range g.Subset {
		if w, ok := pairs[n]; !ok || w != v {
			return nil, nil, ErrNotAuthorized
		}
	}
	key, err := s.usable(g.KeyID, time.Now())
	return g, key, err
}

// GenerateDataKey makes a data key under a grant, bound to the context.
func (k *KMS) GenerateDataKey(_ context.Context, grant string, ec kmsctx.Context) (plain, wrapped []byte, err error) {
	g, key, err := k.use(grant, ec, true)
	if err != nil {
		return nil, nil, err
	}
	plain = newMaterial()
	if wrapped, err = key.encrypt(g.KeyID, plain, ec.Canonical()); err != nil {
		return nil, nil, err
	}
	return plain, wrapped, nil
}

// Wrap wraps a data key that exists, like one that GenerateDataKey made.
func (k *KMS) Wrap(_ context.Context, grant string, ec kmsctx.Context, plain []byte) ([]byte, error) {
	if len(plain) != kmsctx.DataKeyLen {
		return nil, invalid("a data key has 32 bytes")
	}
	g, key, err := k.use(grant, ec, true)
	if err != nil {
		return nil, err
	}
	return key.encrypt(g.KeyID, plain, ec.Canonical())
}

// Decrypt unwraps a data key under a grant, for exactly its context.
func (k *KMS) Decrypt(_ context.Context, grant string, ec kmsctx.Context, wrapped []byte) ([]byte, error) {
	g, key, err := k.use(grant, ec, false)
	if err != nil {
		return nil, err
	}
	if b, ok := parseBlob(wrapped); ok && b.key == g.KeyID && len(b.sealed) == oldLen {
		if plain, _, err := key.decrypt(b, ec.Canonical()); err == nil {
			return plain, nil
		}
	}
	return key.decryptOld(g.KeyID, wrapped, ec.Canonical())
}
