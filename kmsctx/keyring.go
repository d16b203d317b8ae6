package kmsctx

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/cloisterdev/cloister/tenant"
)

// DataKeyLen is the length of every data key, in bytes.
const DataKeyLen = 32

// EncryptedDataKey is a data key as a message carries it.
type EncryptedDataKey struct {
	Provider   string
	Info       []byte
	Ciphertext []byte
}

// DataKey is a plaintext data key and its encrypted forms. The receiver
// clears Plaintext after use.
type DataKey struct {
	Plaintext []byte
	Encrypted []EncryptedDataKey
}

// Keyring makes and opens data keys bound to a context. DecryptDataKey returns
// an error that wraps [ErrNoMatchingKey] when none opens under that context.
type Keyring interface {
	GenerateDataKey(ctx context.Context, ec Context) (*DataKey, error)
	DecryptDataKey(ctx context.Context, ec Context, keys []EncryptedDataKey) (*DataKey, error)
}

type rawAES struct {
	namespace, name string
	key             tenant.Secret
}

// NewRawAES returns the Encryption SDK's raw AES keyring: data keys wrapped
// with one 32-byte key, the context as associated data.
func NewRawAES(namespace, name string, key tenant.Secret) (Keyring, error) {
	if namespace == "" || name == "" || len(namespace)+len(name) > 1024 {
		return nil, fmt.Errorf("%w: a raw AES keyring needs a namespace and a name", ErrMalformed)
	}
	err := key.Use(func(b []byte) error {
		if len(b) != DataKeyLen {
			return fmt.Errorf("%w: a raw AES key has 32 bytes", ErrMalformed)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &rawAES{namespace, name, key}, nil
}

const gcmNonce, gcmTag = 12, 16

func (r *rawAES) info(iv []byte) []byte {
	b := append([]byte(r.name), 0, 0, 0, gcmTag*8, 0, 0, 0, gcmNonce)
	return append(b, iv...)
}

func (r *rawAES) aead() (a cipher.AEAD, err error) {
	err = r.key.Use(func(b []byte) error { a, err = newGCM(b); return err })
	return a, err
}

// GenerateDataKey implements [Keyring].
func (r *rawAES) GenerateDataKey(ctx context.Context, ec Context) (*DataKey, error) {
	if ec.IsZero() {
		return nil, fmt.Errorf("%w: none given", ErrContext)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := r.aead()
	if err != nil {
		return nil, err
	}
	plain, iv := make([]byte, DataKeyLen), make([]byte, gcmNonce)
	_, _ = rand.Read(plain)
	_, _ = rand.Read(iv)
	return &DataKey{plain, []EncryptedDataKey{{r.namespace, r.info(iv), a.Seal(nil, iv, plain, ec.canonical)}}}, nil
}

// DecryptDataKey implements [Keyring].
func (r *rawAES) DecryptDataKey(ctx context.Context, ec Context, keys []EncryptedDataKey) (*DataKey, error) {
	if ec.IsZero() {
		return nil, fmt.Errorf("%w: none given", ErrContext)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := r.aead()
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.Provider != r.namespace || len(k.Info) != len(r.name)+8+gcmNonce {
			continue
		}
		iv := k.Info[len(k.Info)-gcmNonce:]
		if !bytes.Equal(k.Info, r.info(iv)) {
			continue
		}
		if plain, err := a.Open(nil, iv, k.Ciphertext, ec.canonical); err == nil && len(plain) == DataKeyLen {
			return &DataKey{Plaintext: plain}, nil
		}
	}
	return nil, ErrNoMatchingKey
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// SegmentKey derives a 32-byte key for one purpose from a data key, bound to
// the context: HKDF-SHA256 with the context as salt and info as given. The
// same inputs give the same key.
func SegmentKey(key []byte, ec Context, info string) ([]byte, error) {
	if len(key) != DataKeyLen || ec.IsZero() || info == "" {
		return nil, fmt.Errorf("%w: a segment key needs a 32-byte key, a context and a purpose", ErrContext)
	}
	salt := sha256.Sum256(ec.canonical)
	return hkdf.Key(sha256.New, key, salt[:], "cloister/segment/"+info, DataKeyLen)
}

func appendEDKs(b []byte, keys []EncryptedDataKey) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(keys)))
	for _, k := range keys {
		for _, f := range [][]byte{[]byte(k.Provider), k.Info, k.Ciphertext} {
			b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
			b = append(b, f...)
		}
	}
	return b
}
