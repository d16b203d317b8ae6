package profile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// SSHNamespace is what ssh-keygen -Y sign must be given with -n: a signature
// made for another purpose does not approve a profile.
const SSHNamespace = "cloister-profile"

const (
	sshMagic  = "SSHSIG"
	sshArmour = "SSH SIGNATURE"
	// userPresent is the flag by which an authenticator says that somebody
	// touched it (OpenSSH PROTOCOL.u2f, WebAuthn §6.1).
	userPresent = 1
)

// sshSignature is OpenSSH's detached signature (OpenSSH PROTOCOL.sshsig).
type sshSignature struct {
	key             Key
	namespace, hash string
	kind            string
	sig             []byte // 64 bytes, or r and s as two integers
	flags           byte
	counter         uint32
}

// parseSSH accepts the one form of a signature by one of the kinds of [Key].
func parseSSH(b []byte) (sshSignature, error) {
	bad := func(why string) (sshSignature, error) {
		return sshSignature{}, fmt.Errorf("%w: SSH signature: %s", ErrMalformed, why)
	}
	rest, ok := bytes.CutPrefix(b, []byte(sshMagic))
	w := wire{b: rest}
	if !ok || w.uint32() != 1 {
		return bad("not of version 1")
	}
	key, err := newKey(w.string())
	if err != nil {
		return bad("by a key of another type than Ed25519 and ECDSA on P-256")
	}
	s := sshSignature{key: key, namespace: string(w.string())}
	if reserved := w.string(); len(reserved) != 0 {
		return bad("reserved field in use")
	}
	s.hash = string(w.string())
	in := wire{b: w.string()}
	s.kind, s.sig = string(in.string()), in.string()
	if s.kind != key.kind() {
		return bad("of another type than its key")
	}
	if s.kind == kindSKEd25519 || s.kind == kindSKECDSA {
		s.flags, s.counter = in.byte(), in.uint32()
	}
	if !w.done() || !in.done() || s.hash != "sha256" && s.hash != "sha512" {
		return bad("not of the form")
	}
	return s, nil
}

// signed returns what the key signed for a message.
func (s sshSignature) signed(message []byte) []byte {
	var sum []byte
	if s.hash == "sha256" {
		h := sha256.Sum256(message)
		sum = h[:]
	} else {
		h := sha512.Sum512(message)
		sum = h[:]
	}
	return append([]byte(sshMagic), joinWire([]byte(s.namespace), nil, []byte(s.hash), sum)...)
}

var errNoTouch = errors.New("its authenticator was not touched")

func (s sshSignature) verify(m material, message []byte) error {
	if s.namespace != SSHNamespace {
		return fmt.Errorf("it was made for %q; use ssh-keygen -n %s", s.namespace, SSHNamespace)
	}
	data := s.signed(message)
	if m.hardware() {
		if s.flags&userPresent == 0 {
			return errNoTouch
		}
		app, sum := sha256.Sum256(m.application), sha256.Sum256(data)
		data = append(append([]byte{}, app[:]...), s.flags)
		data = binary.BigEndian.AppendUint32(data, s.counter)
		data = append(data, sum[:]...)
	}
	ok := false
	if m.ec != nil {
		w := wire{b: s.sig}
		r, t := w.integer(), w.integer()
		sum := sha256.Sum256(data)
		ok = w.done() && ecdsa.Verify(m.ec, sum[:], r, t)
	} else {
		ok = len(s.sig) == ed25519.SignatureSize && ed25519.Verify(m.ed, data, s.sig)
	}
	if !ok {
		return errors.New("it is over other bytes than this profile's")
	}
	return nil
}

// AttachSSH adds a signature that ssh-keygen -Y sign -n [SSHNamespace] made
// over what [Payload] returns, in its armoured form, to an envelope. Keys in a
// FIDO2 authenticator must have been touched. The key need not be anybody's in
// particular: [Load] asks whose it is. An error wraps [ErrMalformed], or
// [ErrUnapproved] for a signature over anything else.
func AttachSSH(env, armoured []byte) ([]byte, error) {
	e, _, err := read(env)
	if err != nil {
		return nil, err
	}
	armoured = bytes.TrimSpace(armoured)
	if len(armoured) > MaxSize || !bytes.HasPrefix(armoured, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%w: not one armoured SSH signature", ErrMalformed)
	}
	block, rest := pem.Decode(armoured)
	if block == nil || block.Type != sshArmour || len(block.Headers) > 0 || len(rest) > 0 {
		return nil, fmt.Errorf("%w: not one armoured SSH signature", ErrMalformed)
	}
	s, err := parseSSH(block.Bytes)
	if err != nil {
		return nil, err
	}
	m, err := s.key.parse()
	if err != nil {
		return nil, err
	}
	if err := s.verify(m, e.Payload); err != nil {
		return nil, fmt.Errorf("%w: signature by %s: %w", ErrUnapproved, s.key.ID(), err)
	}
	e.add(signature{s.key.ID(), block.Bytes})
	return e.write()
}

// wire reads the encoding of RFC 4251 §5. What is not there is empty, and done
// says so.
type wire struct {
	b   []byte
	bad bool
}

func (w *wire) next(n uint32) []byte {
	if w.bad || uint64(n) > uint64(len(w.b)) {
		w.bad = true
		return nil
	}
	out := w.b[:n]
	w.b = w.b[n:]
	return out
}

func (w *wire) byte() byte {
	if b := w.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (w *wire) uint32() uint32 {
	if b := w.next(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (w *wire) string() []byte { return w.next(w.uint32()) }

// integer reads a positive one in its shortest form.
func (w *wire) integer() *big.Int {
	b := w.string()
	if len(b) == 0 || len(b) > 33 || b[0]&0x80 != 0 || len(b) > 1 && b[0] == 0 && b[1]&0x80 == 0 {
		w.bad = true
		return new(big.Int)
	}
	return new(big.Int).SetBytes(b)
}

func (w *wire) done() bool { return !w.bad && len(w.b) == 0 }

func joinWire(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}
