package profile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"testing"

	"github.com/cloisterdev/cloister/fas/profile"
)

// sshSigner makes OpenSSH signatures without OpenSSH: for authenticators, which
// no test has, and for signatures that ssh-keygen would not make. Real
// ssh-keygen checks what it makes; see TestOpenSSHAgrees.
type sshSigner struct {
	kind, application, namespace, reserved, hash string
	flags                                        byte
	counter                                      uint32
	ed                                           ed25519.PrivateKey
	ec                                           *ecdsa.PrivateKey
}

func newSigner(t testing.TB, kind, name string) *sshSigner {
	t.Helper()
	s := &sshSigner{kind: kind, namespace: profile.SSHNamespace, hash: "sha512", flags: 1, counter: 7, application: "ssh:"}
	if kind == "ssh-ed25519" || kind == "sk-ssh-ed25519@openssh.com" {
		s.ed = ed25519.NewKeyFromSeed(seed(name))
		return s
	}
	var err error
	if s.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sshSigner) hardware() bool { return s.kind[:3] == "sk-" }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(p))), p...)
	}
	return out
}

func (s *sshSigner) blob() []byte {
	parts := [][]byte{[]byte(s.kind)}
	if s.ed != nil {
		parts = append(parts, s.ed.Public().(ed25519.PublicKey))
	} else {
		point, err := s.ec.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		parts = append(parts, []byte("nistp256"), point)
	}
	if s.hardware() {
		parts = append(parts, []byte(s.application))
	}
	return join(parts...)
}

func (s *sshSigner) text() string {
	return s.kind + " " + base64.StdEncoding.EncodeToString(s.blob())
}

func (s *sshSigner) key(t testing.TB) profile.Key {
	t.Helper()
	k, err := profile.ParseKey(s.text())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// binary returns the signature as it travels in an envelope.
func (s *sshSigner) binary(message []byte) []byte {
	sum := func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	digest := sum(message)
	if s.hash == "sha512" {
		h := sha512.Sum512(message)
		digest = h[:]
	}
	data := append([]byte("SSHSIG"), join([]byte(s.namespace), []byte(s.reserved), []byte(s.hash), digest)...)
	if s.hardware() {
		data = append(append(append(sum([]byte(s.application)), s.flags), binary.BigEndian.AppendUint32(nil, s.counter)...), sum(data)...)
	}
	var sig []byte
	if s.ed != nil {
		sig = ed25519.Sign(s.ed, data)
	} else {
		der, err := ecdsa.SignASN1(rand.Reader, s.ec, sum(data))
		if err != nil {
			panic(err)
		}
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			panic(err)
		}
		integer := func(n *big.Int) []byte {
			b := n.Bytes()
			if b[0]&0x80 != 0 {
				b = append([]byte{0}, b...)
			}
			return b
		}
		sig = join(integer(rs.R), integer(rs.S))
	}
	inner := join([]byte(s.kind), sig)
	if s.hardware() {
		inner = binary.BigEndian.AppendUint32(append(inner, s.flags), s.counter)
	}
	out := append([]byte("SSHSIG"), 0, 0, 0, 1)
	return append(out, join(s.blob(), []byte(s.namespace), []byte(s.reserved), []byte(s.hash), inner)...)
}

func (s *sshSigner) sign(message []byte) []byte { return armour(s.binary(message)) }

func armour(b []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: b})
}

var kinds = []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}

// attached is an envelope that service and security signed with bare keys and
// identity with this one, and the keyring for it.
func attached(t testing.TB, s *sshSigner) ([]byte, profile.Keyring, error) {
	t.Helper()
	env := signed(t, unsigned(t, ordinary()), "service", "security")
	ring := keyring()
	ring[profile.Identity] = []profile.Key{s.key(t)}
	env, err := profile.AttachSSH(env, s.sign([]byte(payload(t, env))))
	return env, ring, err
}

func TestSSHSignatures(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for name, c := range map[string]struct {
				change func(*sshSigner)
				want   error
			}{
				"another namespace": {func(s *sshSigner) { s.namespace = "git" }, profile.ErrUnapproved},
				"no namespace":      {func(s *sshSigner) { s.namespace = "" }, profile.ErrUnapproved},
				"a reserved field":  {func(s *sshSigner) { s.reserved = "x" }, profile.ErrMalformed},
				"an unknown hash":   {func(s *sshSigner) { s.hash = "sha1" }, profile.ErrMalformed},
				"SHA-256":           {func(s *sshSigner) { s.hash = "sha256" }, nil},
				"as ssh-keygen":     {func(*sshSigner) {}, nil},
			} {
				s := newSigner(t, kind, "identity")
				c.change(s)
				env, ring, err := attached(t, s)
				if c.want != nil {
					if !errors.Is(err, c.want) || env != nil {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				refused(t, env, keyringWith(t, newSigner(t, kind, "stranger")), now, profile.ErrUnapproved)
				if _, err := profile.Load(env, ring, now); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func keyringWith(t testing.TB, s *sshSigner) profile.Keyring {
	ring := keyring()
	ring[profile.Identity] = []profile.Key{s.key(t)}
	return ring
}

// An authenticator that nobody touched proves that a machine was there, and not
// that a person was.
func TestAuthenticatorMustBeTouched(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[2:] {
		for flags, want := range map[byte]error{0: profile.ErrUnapproved, 4: profile.ErrUnapproved, 0xfe: profile.ErrUnapproved, 1: nil, 5: nil} {
			s := newSigner(t, kind, "identity")
			s.flags = flags
			env := signed(t, unsigned(t, ordinary()), "service", "security")
			if _, err := profile.AttachSSH(env, s.sign([]byte(payload(t, env)))); !errors.Is(err, want) {
				t.Errorf("%s, flags %#x: attached: %v", kind, flags, err)
			}
			// Put into the envelope by hand, it counts for nothing either.
			if _, err := profile.Load(withSignature(t, env, s.binary([]byte(payload(t, env)))), keyringWith(t, s), now); !errors.Is(err, want) {
				t.Errorf("%s, flags %#x: %v", kind, flags, err)
			}
		}
	}
}

// withSignature puts a signature into an envelope by hand.
func withSignature(t testing.TB, env, sig []byte) []byte {
	t.Helper()
	entry := `{"keyid":"","sig":"` + base64.StdEncoding.EncodeToString(sig) + `"}]}`
	if bytes.HasSuffix(env, []byte("[]}")) {
		return append(bytes.TrimSuffix(bytes.Clone(env), []byte("]}")), entry...)
	}
	return append(append(bytes.TrimSuffix(bytes.Clone(env), []byte("]}")), ','), entry...)
}

// Each byte of an SSH signature counts, save for what says nothing of the
// message: there is none.
func TestEveryByteOfAnSSHSignatureCounts(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		s := newSigner(t, kind, "identity")
		env := signed(t, unsigned(t, ordinary()), "service", "security")
		good, ring := s.binary([]byte(payload(t, env))), keyringWith(t, s)
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1
			refused(t, withSignature(t, env, bad), ring, now, profile.ErrUnapproved)
			refused(t, withSignature(t, env, good[:i]), ring, now, profile.ErrUnapproved)
			if _, err := profile.AttachSSH(env, armour(bad)); !errors.Is(err, profile.ErrUnapproved) && !errors.Is(err, profile.ErrMalformed) {
				t.Errorf("%s, byte %d: attached: %v", kind, i, err)
			}
		}
		refused(t, withSignature(t, env, append(bytes.Clone(good), 0)), ring, now, profile.ErrUnapproved)
		if _, err := profile.Load(withSignature(t, env, good), ring, now); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	env := unsigned(t, ordinary())
	s := newSigner(t, "ssh-ed25519", "identity")
	p := []byte(payload(t, env))
	good := s.sign(p)
	other := ordinary()
	other.TTL = 900
	for name, c := range map[string]struct {
		sig  []byte
		want error
	}{
		"nothing":                 {nil, profile.ErrMalformed},
		"two signatures":          {append(bytes.Clone(good), good...), profile.ErrMalformed},
		"text before it":          {append([]byte("hello\n"), good...), profile.ErrMalformed},
		"text after it":           {append(bytes.Clone(good), "hello"...), profile.ErrMalformed},
		"another kind of armour":  {bytes.ReplaceAll(good, []byte("SSH SIGNATURE"), []byte("PGP SIGNATURE")), profile.ErrMalformed},
		"no armour":               {s.binary(p), profile.ErrMalformed},
		"armoured nothing":        {armour(nil), profile.ErrMalformed},
		"a bare signature":        {armour(ed25519.Sign(s.ed, p)), profile.ErrMalformed},
		"of another profile":      {s.sign([]byte(payload(t, unsigned(t, other)))), profile.ErrUnapproved},
		"of the envelope":         {s.sign(env), profile.ErrUnapproved},
		"of the payload's line":   {s.sign(append(bytes.Clone(p), '\n')), profile.ErrUnapproved},
		"of DSSE's encoding":      {s.sign([]byte("DSSEv1 40 application/vnd.cloister.profile.v1+json " + string(p))), profile.ErrUnapproved},
		"longer than an envelope": {armour(make([]byte, profile.MaxSize)), profile.ErrMalformed},
	} {
		if got, err := profile.AttachSSH(env, c.sig); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := profile.AttachSSH([]byte("{}"), good); !errors.Is(err, profile.ErrMalformed) {
		t.Errorf("to no envelope: %v", err)
	}
	if _, err := profile.AttachSSH(env, good); err != nil {
		t.Error(err)
	}
}

// A bare signature over what OpenSSH would have signed, and the other way
// about, approves nothing: each form says what it is for.
func TestFormsDoNotMix(t *testing.T) {
	t.Parallel()
	env := signed(t, unsigned(t, ordinary()), "service", "security")
	p := []byte(payload(t, env))
	s := newSigner(t, "ssh-ed25519", "identity")
	sum := sha512.Sum512(p)
	refused(t, withSignature(t, env, ed25519.Sign(s.ed, append([]byte("SSHSIG"), join([]byte(s.namespace), nil, []byte("sha512"), sum[:])...))), keyring(), now, profile.ErrUnapproved)
	refused(t, withSignature(t, env, ed25519.Sign(s.ed, p)), keyring(), now, profile.ErrUnapproved)
	// An authenticator's key is not a bare one, even where its point is.
	refused(t, signed(t, env, "identity"), keyringWith(t, newSigner(t, "sk-ssh-ed25519@openssh.com", "identity")), now, profile.ErrUnapproved)
	if _, err := profile.Load(signed(t, env, "identity"), keyring(), now); err != nil {
		t.Error(err)
	}
	if _, err := profile.Load(withSignature(t, env, s.binary(p)), keyring(), now); err != nil {
		t.Error(err)
	}
}

// Nothing is accepted that the key did not sign over this payload.
func FuzzAttachSSH(f *testing.F) {
	env := unsigned(f, ordinary())
	p := []byte(payload(f, env))
	for _, kind := range kinds {
		s := newSigner(f, kind, "fuzz")
		f.Add(s.binary(p))
		s.flags, s.namespace = 0, "git"
		f.Add(s.binary([]byte("x")))
	}
	f.Add([]byte("SSHSIG"))
	other := ordinary()
	other.Version = 9
	elsewhere := unsigned(f, other)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := profile.AttachSSH(env, armour(b))
		if err != nil {
			if got != nil || !errors.Is(err, profile.ErrMalformed) && !errors.Is(err, profile.ErrUnapproved) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			return
		}
		if !bytes.Contains(got, []byte(`"sig":"`+base64.StdEncoding.EncodeToString(b)+`"`)) {
			t.Fatal("the signature was not kept as it was")
		}
		if _, err := profile.AttachSSH(elsewhere, armour(b)); !errors.Is(err, profile.ErrUnapproved) {
			t.Fatalf("it signs another profile too: %v", err)
		}
		b = bytes.Clone(b)
		for i := range b {
			b[i] ^= 1
			if _, err := profile.AttachSSH(env, armour(b)); err == nil {
				t.Fatalf("byte %d says nothing", i)
			}
			b[i] ^= 1
		}
	})
}
