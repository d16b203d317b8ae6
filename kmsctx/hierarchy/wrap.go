package hierarchy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Provider is the provider of this keyring's encrypted data keys, the same as
// the official Encryption SDKs'.
const Provider = "aws-kms-hierarchy"

const (
	branchKeyLen = 32
	saltLen      = 16
	ivLen        = 12
	tagLen       = 16
	sealedAt     = saltLen + ivLen + len(Version{})
	recordLen    = sealedAt + kmsctx.DataKeyLen + tagLen
)

// record is the ciphertext of an encrypted data key.
type record struct {
	salt    [saltLen]byte
	iv      [ivLen]byte
	version Version
	sealed  [kmsctx.DataKeyLen + tagLen]byte
}

func parseRecord(b []byte) (r record, ok bool) {
	if len(b) != recordLen {
		return record{}, false
	}
	copy(r.salt[:], b)
	copy(r.iv[:], b[saltLen:])
	copy(r.version[:], b[saltLen+ivLen:])
	copy(r.sealed[:], b[sealedAt:])
	return r, r.version.valid()
}

func (r *record) bytes() []byte {
	return slices.Concat(r.salt[:], r.iv[:], r.version[:], r.sealed[:])
}

// counterKDF is the KDF in counter mode of NIST SP 800-108r1 with HMAC-SHA256
// and a 32-bit counter before the fixed input, for one block of output.
func counterKDF(key, fixed []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{0, 0, 0, 1})
	h.Write(fixed)
	return h.Sum(nil)
}

// wrappingKey is the key that a branch key gives for a salt.
func wrappingKey(branchKey []byte, salt [saltLen]byte) []byte {
	return counterKDF(branchKey, slices.Concat([]byte(Provider), []byte{0}, salt[:], []byte{0, 0, 1, 0})) // label, context, 256 bits
}

// sealer is AES-256-GCM under a wrapping key. The cipher puts the IV before what
// it seals, and makes it.
func sealer(branchKey []byte, salt [saltLen]byte) (cipher.AEAD, error) {
	key := wrappingKey(branchKey, salt)
	defer clear(key)
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(b)
}

// associated is what a wrapped data key is bound to. The branch key's own
// wrapping binds it to its ID, so that the parts need no lengths between them.
func associated(id string, v Version, ec kmsctx.Context) []byte {
	return slices.Concat([]byte(Provider), []byte(id), v[:], ec.Canonical())
}

func wrap(branchKey []byte, id string, v Version, ec kmsctx.Context, plain []byte) ([]byte, error) {
	r := record{version: v}
	_, _ = rand.Read(r.salt[:]) // never fails
	a, err := sealer(branchKey, r.salt)
	if err != nil {
		return nil, err
	}
	out := a.Seal(nil, nil, plain, associated(id, v, ec))
	copy(r.iv[:], out)
	copy(r.sealed[:], out[ivLen:])
	return r.bytes(), nil
}

func unwrap(branchKey []byte, id string, r record, ec kmsctx.Context) ([]byte, error) {
	a, err := sealer(branchKey, r.salt)
	if err != nil {
		return nil, err
	}
	return a.Open(nil, nil, slices.Concat(r.iv[:], r.sealed[:]), associated(id, r.version, ec))
}
