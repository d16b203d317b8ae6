package profile

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/cloisterdev/cloister/internal/weakkey"
)

// The kinds of key, by their OpenSSH names (RFC 5656 §3.1, RFC 8709 §4, OpenSSH
// PROTOCOL.u2f).
const (
	kindEd25519   = "ssh-ed25519"
	kindECDSA     = "ecdsa-sha2-nistp256"
	kindSKEd25519 = "sk-ssh-ed25519@openssh.com"
	kindSKECDSA   = "sk-ecdsa-sha2-nistp256@openssh.com"

	curveName = "nistp256"
)

// Key is a public key of a team: Ed25519, ECDSA on P-256, or one of the two in
// a FIDO2 authenticator. The zero value is none and verifies nothing. Keys are
// comparable.
type Key struct {
	blob string // the wire form of RFC 4253 §6.6
}

// material is a parsed key.
type material struct {
	kind        string
	ed          ed25519.PublicKey
	ec          *ecdsa.PublicKey
	application []byte // of a FIDO2 key
	point       []byte // what two names for one key have in common
}

// Ed25519 returns the Key of a bare Ed25519 public key. An error wraps
// [ErrKeyring].
func Ed25519(k ed25519.PublicKey) (Key, error) {
	return newKey(joinWire([]byte(kindEd25519), k))
}

// ParseKey parses "TYPE BASE64", and any comment after it, as in OpenSSH's
// .pub files; and "ed25519 BASE64" with the 32 bytes of an Ed25519 key. The
// types are ssh-ed25519, ecdsa-sha2-nistp256, sk-ssh-ed25519@openssh.com and
// sk-ecdsa-sha2-nistp256@openssh.com. An error wraps [ErrKeyring].
func ParseKey(s string) (Key, error) {
	f := strings.Fields(s)
	if len(f) < 2 {
		return Key{}, fmt.Errorf("%w: a key is \"TYPE BASE64\"", ErrKeyring)
	}
	b, err := base64.StdEncoding.DecodeString(f[1])
	if err != nil || base64.StdEncoding.EncodeToString(b) != f[1] {
		return Key{}, fmt.Errorf("%w: a key of type %q is not base64", ErrKeyring, f[0])
	}
	if f[0] == "ed25519" {
		return Ed25519(b)
	}
	k, err := newKey(b)
	if err == nil && k.kind() != f[0] {
		return Key{}, fmt.Errorf("%w: a key of type %q is called %q", ErrKeyring, k.kind(), f[0])
	}
	return k, err
}

func newKey(blob []byte) (Key, error) {
	k := Key{string(blob)}
	if _, err := k.parse(); err != nil {
		return Key{}, err
	}
	return k, nil
}

func (k Key) parse() (material, error) {
	w := wire{b: []byte(k.blob)}
	m := material{kind: string(w.string())}
	switch m.kind {
	case kindEd25519, kindSKEd25519:
		m.point = w.string()
		m.ed = m.point
		if weakkey.Ed25519(m.ed) {
			return material{}, fmt.Errorf("%w: not an Ed25519 key", ErrKeyring)
		}
	case kindECDSA, kindSKECDSA:
		curve := string(w.string())
		m.point = w.string()
		var err error
		if m.ec, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), m.point); err != nil || curve != curveName {
			return material{}, fmt.Errorf("%w: not an ECDSA key on P-256", ErrKeyring)
		}
	default:
		return material{}, fmt.Errorf("%w: a key of an unknown type", ErrKeyring)
	}
	if m.hardware() {
		m.application = w.string()
	}
	if !w.done() {
		return material{}, fmt.Errorf("%w: a key of type %q is malformed", ErrKeyring, m.kind)
	}
	return m, nil
}

// hardware reports whether the key is that of a FIDO2 authenticator.
func (m material) hardware() bool { return m.kind == kindSKEd25519 || m.kind == kindSKECDSA }

func (k Key) kind() string {
	w := wire{b: []byte(k.blob)}
	return string(w.string())
}

// ID returns the fingerprint that ssh-keygen -l prints: "SHA256:" and base64.
func (k Key) ID() string {
	sum := sha256.Sum256([]byte(k.blob))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// String returns "TYPE BASE64".
func (k Key) String() string {
	return k.kind() + " " + base64.StdEncoding.EncodeToString([]byte(k.blob))
}

// MarshalText implements [encoding.TextMarshaler] with the form of String.
func (k Key) MarshalText() ([]byte, error) {
	_, err := k.parse()
	return []byte(k.String()), err
}

// UnmarshalText implements [encoding.TextUnmarshaler]; see [ParseKey].
func (k *Key) UnmarshalText(b []byte) error {
	got, err := ParseKey(string(b))
	*k = got
	return err
}

// verifies reports whether sig, bare or in OpenSSH's form, is the key's over
// the payload.
func (k Key) verifies(payload, sig []byte) bool {
	m, err := k.parse()
	if err != nil {
		return false
	}
	if len(sig) == ed25519.SignatureSize {
		return m.kind == kindEd25519 && ed25519.Verify(m.ed, pae(payload), sig)
	}
	s, err := parseSSH(sig)
	return err == nil && s.key == k && s.verify(m, payload) == nil
}
