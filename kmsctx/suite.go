package kmsctx

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
)

// Suite is an algorithm suite of the message format. The zero value stands for
// [Committing].
type Suite uint16

const (
	// Committing is suite 0x0478: AES-256-GCM under a key of the message's own
	// (HKDF-SHA512), with key commitment.
	Committing Suite = 0x0478
	// CommittingSigned is suite 0x0578: the same, and an ECDSA P-384 signature
	// over the message whose public key is in the context. It tells a reader
	// that the writer knew the context when it was written, at a tenth of the
	// speed and without random access; the public key differs from message to
	// message, so no EncryptionContextEquals constraint fits.
	CommittingSigned Suite = 0x0578
)

// String returns the suite's number in hexadecimal, such as "0x0478".
func (s Suite) String() string { return fmt.Sprintf("0x%04x", uint16(s)) }

func (s Suite) signed() bool { return s == CommittingSigned }

func (s Suite) known() bool { return s == Committing || s == CommittingSigned }

const (
	messageIDLen = 32
	commitLen    = 32
	gcmNonce     = 12
	gcmTag       = 16
)

// contentKeys is what a data key becomes in one message.
type contentKeys struct {
	commit [commitLen]byte
	aead   cipher.AEAD
}

// derive makes the commitment and the content cipher of a message: HKDF-SHA512
// with the message id as salt, as the specification has it.
func derive(s Suite, dataKey, messageID []byte, out *contentKeys) error {
	if len(dataKey) != DataKeyLen || len(messageID) != messageIDLen {
		return fail(ErrMalformed, "data key of %d bytes", len(dataKey))
	}
	var prk, commit, key [sha512.Size]byte
	hmac512(&prk, messageID, dataKey)
	hmac512(&commit, prk[:], []byte("COMMITKEY\x01"))
	hmac512(&key, prk[:], []byte{byte(s >> 8), byte(s), 'D', 'E', 'R', 'I', 'V', 'E', 'K', 'E', 'Y', 1})
	copy(out.commit[:], commit[:])
	var err error
	out.aead, err = newGCM(key[:DataKeyLen])
	clear(prk[:])
	clear(key[:])
	clear(commit[:])
	return err
}

// hmac512 is HMAC-SHA512 (RFC 2104) of a short text under a key of at most a
// block. Every message needs three, and crypto/hmac allocates for each; what
// it computes is compared with crypto/hkdf by a test.
func hmac512(out *[sha512.Size]byte, key, text []byte) {
	var b [sha512.BlockSize + sha512.Size]byte
	for i := range sha512.BlockSize {
		b[i] = 0x36
	}
	for i, k := range key {
		b[i] ^= k
	}
	n := copy(b[sha512.BlockSize:], text)
	inner := sha512.Sum512(b[:sha512.BlockSize+n])
	for i := range sha512.BlockSize {
		b[i] ^= 0x36 ^ 0x5c
	}
	copy(b[sha512.BlockSize:], inner[:])
	*out = sha512.Sum512(b[:])
	clear(b[:])
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fail(ErrMalformed, "%w", err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fail(ErrFIPS, "%w", err)
	}
	return a, nil
}

// newSigner makes the key pair of one message, and its context pair's value.
func newSigner() (*ecdsa.PrivateKey, string, error) {
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, "", fail(ErrSignature, "%w", err)
	}
	return k, base64.StdEncoding.EncodeToString(elliptic.MarshalCompressed(k.Curve, k.X, k.Y)), nil
}

func parseVerifier(value string) (*ecdsa.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(b) != 49 {
		return nil, fail(ErrSignature, "public key")
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P384(), b)
	if x == nil {
		return nil, fail(ErrSignature, "public key")
	}
	return &ecdsa.PublicKey{Curve: elliptic.P384(), X: x, Y: y}, nil
}

// digest is a running SHA-384 over a signed message; nil for others.
func newDigest(s Suite) hash.Hash {
	if s.signed() {
		return sha512.New384()
	}
	return nil
}
