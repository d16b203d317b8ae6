package kmsctx

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"strings"

	"github.com/cloisterdev/cloister/tenant"
)

// RawAES is the Encryption SDK's raw AES keyring: data keys wrapped with one
// 32-byte key, the context as associated data. It is a [Keyring] and a
// [Wrapper]. After the secret is destroyed it refuses everything.
//
// Whoever has the key has every context; it has no grants, states or audit.
// Wrapping uses random 96-bit nonces: make a new key before 2^32 data keys.
//
// Source: AWS Encryption SDK Specification, framework/raw-aes-keyring.
type RawAES struct {
	namespace, name string
	key             tenant.Secret
}

// NewRawAES makes a raw AES keyring. Namespace and name stand in every message
// and must be the ones that other programs use; a namespace of "aws-kms" is
// refused, as is a key of another length, with [ErrMalformed].
func NewRawAES(namespace, name string, key tenant.Secret) (*RawAES, error) {
	if namespace == "" || name == "" || len(namespace)+len(name) > 1024 || strings.HasPrefix(namespace, "aws-kms") {
		return nil, at("new raw AES keyring", fail(ErrMalformed, "it needs a namespace, not aws-kms, and a name"))
	}
	err := key.Use(func(b []byte) error {
		if len(b) != DataKeyLen {
			return fail(ErrMalformed, "a raw AES key has 32 bytes")
		}
		return nil
	})
	if err != nil {
		return nil, at("new raw AES keyring", err)
	}
	return &RawAES{namespace, name, key}, nil
}

const rawInfo = 8 + gcmNonce // what follows the name in a provider info

func (r *RawAES) info(iv []byte) []byte {
	b := make([]byte, 0, len(r.name)+rawInfo)
	b = append(append(b, r.name...), 0, 0, 0, gcmTag*8, 0, 0, 0, gcmNonce)
	return append(b, iv...)
}

func (r *RawAES) begin(ctx context.Context, ec Context) (a cipher.AEAD, err error) {
	if ec.IsZero() {
		return nil, fail(ErrContext, "none given")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = r.key.Use(func(b []byte) error { a, err = newGCM(b); return err })
	return a, err
}

// GenerateDataKey implements [Keyring].
func (r *RawAES) GenerateDataKey(ctx context.Context, ec Context) (*DataKey, error) {
	plain := make([]byte, DataKeyLen)
	_, _ = rand.Read(plain) // never fails
	keys, err := r.WrapDataKey(ctx, ec, plain)
	if err != nil {
		clear(plain)
		return nil, err
	}
	return &DataKey{plain, keys}, nil
}

// WrapDataKey implements [Wrapper].
func (r *RawAES) WrapDataKey(ctx context.Context, ec Context, plaintext []byte) ([]EncryptedDataKey, error) {
	if len(plaintext) != DataKeyLen {
		return nil, fail(ErrMalformed, "data key of %d bytes", len(plaintext))
	}
	a, err := r.begin(ctx, ec)
	if err != nil {
		return nil, err
	}
	var iv [gcmNonce]byte
	_, _ = rand.Read(iv[:]) // never fails
	info := r.info(iv[:])
	return []EncryptedDataKey{{r.namespace, info, a.Seal(nil, info[len(info)-gcmNonce:], plaintext, ec.canonical)}}, nil
}

// DecryptDataKey implements [Keyring].
func (r *RawAES) DecryptDataKey(ctx context.Context, ec Context, keys []EncryptedDataKey) (*DataKey, error) {
	a, err := r.begin(ctx, ec)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		at := len(k.Info) - gcmNonce
		if k.Provider != r.namespace || at != len(r.name)+rawInfo-gcmNonce ||
			!bytes.Equal(k.Info, r.info(k.Info[at:])) || len(k.Ciphertext) != DataKeyLen+gcmTag {
			continue
		}
		if plain, err := a.Open(nil, k.Info[at:], k.Ciphertext, ec.canonical); err == nil {
			return &DataKey{Plaintext: plain}, nil
		}
	}
	return nil, fail(ErrNoMatchingKey, "")
}
