// Package localkms is a key service in a directory: keys with states, grants
// that a context must meet, and data keys bound to that context.
//
// # What it refuses
//
//	ErrNotAuthorized      no live grant of the key covers operation and context
//	ErrKeyDisabled        a disabled key, from the next call on
//	ErrUnknown            no such key or grant
//	ErrInvalidCiphertext  altered, of another key, or under another context:
//	                      these cannot be told apart, by design
//	ErrCorrupt            a store that does not open under the root key
//
// A [KMS] is safe for concurrent use. Every change is on disk (temporary file,
// fsync, rename, fsync of the directory) before the call returns.
//
// # What it does not protect against
//
// Whoever holds the root key and the directory holds every key. Restoring an
// old copy of the directory brings retired grants back; keep it where the
// registry is.
package localkms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package.
var (
	ErrNotAuthorized     = errors.New("localkms: not authorized")
	ErrKeyDisabled       = errors.New("localkms: key disabled")
	ErrUnknown           = errors.New("localkms: no such key or grant")
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

type key struct {
	Material []byte `json:"material"`
	Disabled bool   `json:"disabled"`
}

type state struct {
	Keys   map[string]*key   `json:"keys"`
	Grants map[string]*Grant `json:"grants"`
}

// KMS is an open key store.
type KMS struct {
	path string
	seal cipher.AEAD

	mu sync.RWMutex
	st state
}

// Open opens, or makes, the store in dir. root is 32 bytes.
func Open(dir string, root tenant.Secret) (*KMS, error) {
	k := &KMS{path: filepath.Join(dir, "kms"), st: state{map[string]*key{}, map[string]*Grant{}}}
	err := root.Use(func(b []byte) (err error) {
		if len(b) != kmsctx.DataKeyLen {
			return fmt.Errorf("%w: the root key has 32 bytes", ErrCorrupt)
		}
		own, err := hkdf.Key(sha256.New, b, nil, "cloister/localkms/store", 32)
		if err != nil {
			return err
		}
		k.seal, err = gcm(own)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(k.path)
	if errors.Is(err, os.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := k.seal.Open(nil, nil, b, []byte("localkms v1"))
	if err != nil || json.Unmarshal(plain, &k.st) != nil {
		return nil, ErrCorrupt
	}
	clear(plain)
	return k, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// save writes the state; with an error the memory is put back by the caller.
func (k *KMS) save() error {
	plain, err := json.Marshal(k.st)
	if err != nil {
		return err
	}
	defer clear(plain)
	tmp := k.path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(k.seal.Seal(nil, nil, plain, []byte("localkms v1")))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, k.path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// EnsureKey makes the key of that name, if there is none.
func (k *KMS) EnsureKey(_ context.Context, id string) error {
	if id == "" || strings.ContainsAny(id, "\x00") {
		return ErrUnknown
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.st.Keys[id] != nil {
		return nil
	}
	m := make([]byte, 32)
	_, _ = rand.Read(m)
	k.st.Keys[id] = &key{Material: m}
	if err := k.save(); err != nil {
		delete(k.st.Keys, id)
		return err
	}
	return nil
}

// SetDisabled disables or enables a key; it takes effect for the next call.
func (k *KMS) SetDisabled(_ context.Context, id string, disabled bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.st.Keys[id]
	if key == nil {
		return ErrUnknown
	}
	old := key.Disabled
	key.Disabled = disabled
	if err := k.save(); err != nil {
		key.Disabled = old
		return err
	}
	return nil
}

// CreateGrant makes a grant. With the same name, key and constraint it returns
// the grant that exists. An empty constraint is refused.
func (k *KMS) CreateGrant(_ context.Context, keyID, name string, subset map[string]string) (string, error) {
	if len(subset) == 0 || name == "" {
		return "", fmt.Errorf("%w: a grant needs a name and a constraint", ErrNotAuthorized)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	key := k.st.Keys[keyID]
	if key == nil {
		return "", ErrUnknown
	}
	if key.Disabled {
		return "", ErrKeyDisabled
	}
	for _, g := range k.st.Grants {
		if g.KeyID == keyID && g.Name == name && equal(g.Subset, subset) {
			return g.ID, nil
		}
	}
	g := &Grant{newID(), keyID, name, subset}
	k.st.Grants[g.ID] = g
	if err := k.save(); err != nil {
		delete(k.st.Grants, g.ID)
		return "", err
	}
	return g.ID, nil
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// RetireGrant ends a grant. It is harmless twice.
func (k *KMS) RetireGrant(_ context.Context, id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	g := k.st.Grants[id]
	if g == nil {
		return nil
	}
	delete(k.st.Grants, id)
	if err := k.save(); err != nil {
		k.st.Grants[id] = g
		return err
	}
	return nil
}

// Grants lists the live grants.
func (k *KMS) Grants() []Grant {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var out []Grant
	for _, g := range k.st.Grants {
		out = append(out, *g)
	}
	return out
}

// use finds the key that a grant opens for a context.
func (k *KMS) use(grant string, ec kmsctx.Context) (*Grant, *key, error) {
	if ec.IsZero() {
		return nil, nil, kmsctx.ErrContext
	}
	g := k.st.Grants[grant]
	if g == nil {
		return nil, nil, ErrNotAuthorized
	}
	pairs := ec.Pairs()
	for n, v := range g.Subset {
		if pairs[n] != v {
			return nil, nil, ErrNotAuthorized
		}
	}
	key := k.st.Keys[g.KeyID]
	if key == nil {
		return nil, nil, ErrUnknown
	}
	if key.Disabled {
		return nil, nil, ErrKeyDisabled
	}
	return g, key, nil
}

const saltLen = 24

// wrapper derives a cipher for one wrapping, so that the number of wrappings
// under a key is not bounded by its random nonces.
func wrapper(k *key, salt []byte) (cipher.AEAD, error) {
	d, err := hkdf.Key(sha256.New, k.Material, salt, "cloister/localkms/wrap", 32)
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
	k.mu.RLock()
	defer k.mu.RUnlock()
	g, key, err := k.use(grant, ec)
	if err != nil {
		return nil, nil, err
	}
	plain = make([]byte, kmsctx.DataKeyLen)
	_, _ = rand.Read(plain)
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt)
	a, err := wrapper(key, salt)
	if err != nil {
		return nil, nil, err
	}
	return plain, a.Seal(salt, nil, plain, associated(g.KeyID, ec)), nil
}

// Decrypt unwraps a data key under a grant, for exactly its context.
func (k *KMS) Decrypt(_ context.Context, grant string, ec kmsctx.Context, wrapped []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	g, key, err := k.use(grant, ec)
	if err != nil {
		return nil, err
	}
	if len(wrapped) < saltLen {
		return nil, ErrInvalidCiphertext
	}
	a, err := wrapper(key, wrapped[:saltLen])
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, nil, wrapped[saltLen:], associated(g.KeyID, ec))
	if err != nil || len(plain) != kmsctx.DataKeyLen {
		return nil, ErrInvalidCiphertext
	}
	return plain, nil
}
