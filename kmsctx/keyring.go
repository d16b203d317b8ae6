package kmsctx

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
)

// DataKeyLen is the length of every data key, in bytes.
const DataKeyLen = 32

// EncryptedDataKey is a data key as a message carries it.
type EncryptedDataKey struct {
	Provider   string // "aws-kms", or the namespace of a raw keyring
	Info       []byte // the provider's: a key's name, and more
	Ciphertext []byte
}

func (k EncryptedDataKey) clone() EncryptedDataKey {
	return EncryptedDataKey{k.Provider, bytes.Clone(k.Info), bytes.Clone(k.Ciphertext)}
}

// DataKey is a plaintext data key and its encrypted forms. It belongs to
// whoever receives it: nobody else holds Plaintext, and the receiver calls
// Destroy after use.
type DataKey struct {
	Plaintext []byte
	Encrypted []EncryptedDataKey // in the order in which a message carries them
}

// Destroy overwrites the plaintext. It is harmless twice and on nil.
func (k *DataKey) Destroy() {
	if k != nil {
		clear(k.Plaintext)
		k.Plaintext = nil
	}
}

// Keyring makes and opens data keys bound to a context. kmstest has the
// conformance suite.
//
// GenerateDataKey returns a key of [DataKeyLen] random bytes and at least one
// encrypted form, wrapped under exactly ec.
//
// DecryptDataKey opens one of the encrypted keys under exactly ec; it passes
// over those of other providers and keys. When none opens, its error wraps
// [ErrNoMatchingKey], and beside it what the key service said. It keeps
// nothing of keys, whose memory is the message's.
//
// Both refuse the zero Context with [ErrContext], heed ctx, return no key
// together with an error, and are safe for concurrent use.
type Keyring interface {
	GenerateDataKey(ctx context.Context, ec Context) (*DataKey, error)
	DecryptDataKey(ctx context.Context, ec Context, keys []EncryptedDataKey) (*DataKey, error)
}

// Wrapper wraps a data key that exists: for a message with several encrypted
// data keys ([Multi]), and to move one to another key or context. It must not
// keep or change plaintext.
type Wrapper interface {
	WrapDataKey(ctx context.Context, ec Context, plaintext []byte) ([]EncryptedDataKey, error)
}

// SegmentKey derives a 32-byte key for one purpose from a data key, bound to
// the context: HKDF-SHA256 with the context as salt and info as given. The
// same inputs give the same key. Errors wrap [ErrContext].
func SegmentKey(key []byte, ec Context, info string) ([]byte, error) {
	if len(key) != DataKeyLen || ec.IsZero() || info == "" {
		return nil, fail(ErrContext, "a segment key needs a 32-byte key, a context and a purpose")
	}
	salt := sha256.Sum256(ec.canonical)
	return hkdf.Key(sha256.New, key, salt[:], "cloister/segment/"+info, DataKeyLen)
}
