package localkms

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/kmsctx"
)

// A ciphertext is a form byte, the version of the key's material (4 bytes), the
// length of the key's ID (2 bytes) and the ID; then a salt, a nonce, what was
// encrypted and a tag. Everything before the salt is authenticated, with the
// encryption context.
const (
	blobForm  = 2
	blobHead  = 7
	saltLen   = 24
	blobFixed = saltLen + 12 + 16
	// oldLen is the length of the first form: a data key, wrapped without header
	// under the only material that there was.
	oldLen = blobFixed + kmsctx.DataKeyLen
	// maxPlain is the most that is encrypted at once, in bytes, as in AWS KMS.
	maxPlain = 4096
	maxBlob  = blobHead + maxName + blobFixed + maxPlain
)

type blob struct {
	key            string
	version        uint32
	header, sealed []byte // sealed begins with the salt
}

func parseBlob(b []byte) (blob, bool) {
	if len(b) < blobHead || len(b) > maxBlob || b[0] != blobForm {
		return blob{}, false
	}
	n := blobHead + int(binary.BigEndian.Uint16(b[5:]))
	if len(b) < n+blobFixed || !validName(string(b[blobHead:n])) {
		return blob{}, false
	}
	return blob{string(b[blobHead:n]), binary.BigEndian.Uint32(b[1:]), b[:n:n], b[n:]}, true
}

// cipherOf derives a cipher for one encryption, so that the number of
// encryptions under a key is not bounded by its random nonces.
func cipherOf(v version, salt []byte) (cipher.AEAD, error) {
	d, err := hkdf.Key(sha256.New, v.Material, salt, "cloister/localkms/wrap", kmsctx.DataKeyLen)
	if err != nil {
		return nil, err
	}
	defer clear(d)
	return gcm(d)
}

func (k *key) encrypt(id string, plain, canonical []byte) ([]byte, error) {
	v := len(k.Versions) - 1
	out := make([]byte, 0, blobHead+len(id)+blobFixed+len(plain))
	out = append(out, blobForm)
	out = binary.BigEndian.AppendUint32(out, uint32(v))
	out = append(binary.BigEndian.AppendUint16(out, uint16(len(id))), id...)
	header := len(out)
	out = out[:header+saltLen]
	_, _ = rand.Read(out[header:])
	a, err := cipherOf(k.Versions[v], out[header:])
	if err != nil {
		return nil, err
	}
	return a.Seal(out, nil, plain, associated(out[:header], canonical)), nil
}

func associated(header, canonical []byte) []byte {
	return append(header[:len(header):len(header)], canonical...)
}

// decrypt opens a ciphertext of this key. It says which material did.
func (k *key) decrypt(b blob, canonical []byte) ([]byte, *version, error) {
	if int64(b.version) >= int64(len(k.Versions)) {
		return nil, nil, ErrInvalidCiphertext
	}
	v := &k.Versions[b.version]
	a, err := cipherOf(*v, b.sealed[:saltLen])
	if err != nil {
		return nil, nil, err
	}
	plain, err := a.Open(nil, nil, b.sealed[saltLen:], associated(b.header, canonical))
	if err != nil {
		return nil, nil, ErrInvalidCiphertext
	}
	return plain, v, nil
}

// decryptOld opens what the first form of a store wrapped.
func (k *key) decryptOld(id string, b, canonical []byte) ([]byte, error) {
	if len(b) != oldLen {
		return nil, ErrInvalidCiphertext
	}
	a, err := cipherOf(k.Versions[0], b[:saltLen])
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, nil, b[saltLen:], associated([]byte(id+"\x00"), canonical))
	if err != nil {
		return nil, ErrInvalidCiphertext
	}
	return plain, nil
}

// maxContext is the longest encryption context, in bytes, as in AWS KMS.
const maxContext = 8192

// canonical serializes an encryption context as [kmsctx.Context.Canonical]
// does, for any that the wire may carry. Two keys that differ in case only are
// refused: grants and policies compare keys without it, and could not say which
// of the two is meant.
func canonical(pairs map[string]string) ([]byte, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	keys, lower, total := make([]string, 0, len(pairs)), map[string]bool{}, 0
	for k, v := range pairs {
		if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, invalid("encryption context: an empty key, or text that is not UTF-8")
		}
		if lower[lowered(k)] {
			return nil, invalid("encryption context: two keys that differ in case only")
		}
		lower[lowered(k)] = true
		keys, total = append(keys, k), total+4+len(k)+len(v)
	}
	if total > maxContext {
		return nil, invalid("encryption context: more than %d bytes", maxContext)
	}
	sort.Strings(keys)
	out := binary.BigEndian.AppendUint16(nil, uint16(len(keys)))
	for _, k := range keys {
		for _, s := range []string{k, pairs[k]} {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(s))), s...)
		}
	}
	return out, nil
}

// lowered folds ASCII only: other letters have several ideas of case.
func lowered(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
