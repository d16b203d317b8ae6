package profile_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

const kind = "application/vnd.cloister.profile.v1+json"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// signer is the key of a team as go-securesystemslib wants it. Its key ID is
// that library's own.
type signer struct{ key ed25519.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.key, data), nil
}
func (s signer) KeyID() (string, error)   { return dsse.SHA256KeyID(s.Public()) }
func (s signer) Public() crypto.PublicKey { return s.key.Public() }
func (s signer) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(s.key.Public().(ed25519.PublicKey), data, sig) {
		return errors.New("not signed")
	}
	return nil
}

type teams map[profile.Role]signer

func (k teams) keyring(t *testing.T) profile.Keyring {
	t.Helper()
	var text strings.Builder
	for r, s := range k {
		text.WriteString(string(r) + " ed25519 " + base64.StdEncoding.EncodeToString(s.key.Public().(ed25519.PublicKey)) + "\n")
	}
	ring, err := profile.ParseKeyring([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func draft(t *testing.T, version int) []byte {
	t.Helper()
	env, err := profile.New(profile.Profile{ID: "source", Version: version, Operations: []string{"/Create"}, Callers: []string{"front-end"},
		Allow: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::*"}]}`),
		Bind:  "/source/uri", TTL: 600, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// signedBy is the profile in an envelope that go-securesystemslib makes.
func signedBy(t *testing.T, version int, who ...dsse.Signer) []byte {
	t.Helper()
	payload, err := profile.Payload(draft(t, version))
	if err != nil {
		t.Fatal(err)
	}
	by, err := dsse.NewEnvelopeSigner(who...)
	if err != nil {
		t.Fatal(err)
	}
	e, err := by.SignPayload(context.Background(), kind, payload)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheirSignatures(t *testing.T) {
	t.Parallel()
	k := teams{profile.Service: newSigner(t), profile.Security: newSigner(t), profile.Identity: newSigner(t)}
	ring := k.keyring(t)
	service, security, identity := k[profile.Service], k[profile.Security], k[profile.Identity]
	good := signedBy(t, 3, service, security, identity)
	for name, c := range map[string]struct {
		env  []byte
		want error
		says string
	}{
		"two of three roles":         {signedBy(t, 3, service, identity), profile.ErrUnapproved, "missing: security"},
		"one key three times":        {signedBy(t, 3, service, service, service), profile.ErrUnapproved, "missing: security, identity"},
		"a stranger":                 {signedBy(t, 3, service, security, newSigner(t)), profile.ErrUnapproved, "missing: identity"},
		"one byte of the payload":    {changed(t, good, func(e *dsse.Envelope) { e.Payload = flip(t, e.Payload) }), profile.ErrUnapproved, "missing: service, security, identity"},
		"one byte of a signature":    {changed(t, good, func(e *dsse.Envelope) { e.Signatures[1].Sig = flip(t, e.Signatures[1].Sig) }), profile.ErrUnapproved, "missing: security"},
		"another type of payload":    {changed(t, good, func(e *dsse.Envelope) { e.PayloadType = "application/json" }), profile.ErrMalformed, "envelope"},
		"signatures of version 2":    {changed(t, good, func(e *dsse.Envelope) { e.Payload = read(t, signedBy(t, 2, service)).Payload }), profile.ErrUnapproved, "missing: service, security, identity"},
		"signed as they wrote it":    {good, nil, ""},
		"in another order of people": {signedBy(t, 3, identity, service, security), nil, ""},
	} {
		v, err := profile.Load(c.env, ring, now)
		if !errors.Is(err, c.want) || (v == nil) == (c.want == nil) || err != nil && !strings.HasSuffix(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	v, err := profile.Load(good, ring, now)
	if err != nil {
		t.Fatal(err)
	}
	older, err := profile.Load(signedBy(t, 2, service, security, identity), ring, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := older.Replaces(v); !errors.Is(err, profile.ErrRollback) || !strings.Contains(err.Error(), "version 2, where 3 was approved") {
		t.Error(err)
	}
}

func TestOurSignatures(t *testing.T) {
	t.Parallel()
	ours, theirs := newSigner(t), newSigner(t)
	env, err := profile.Sign(draft(t, 3), tenant.NewSecret(ours.key.Seed()))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(s signer, e dsse.Envelope) error {
		v, err := dsse.NewEnvelopeVerifier(s)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(context.Background(), &e)
		return err
	}
	if verify(theirs, read(t, env)) == nil {
		t.Error("their verifier accepts everything")
	}
	if verify(ours, read(t, changed(t, env, func(e *dsse.Envelope) { e.Payload = flip(t, e.Payload) }))) == nil {
		t.Error("their verifier accepts another payload")
	}
	if err := verify(ours, read(t, env)); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, env []byte) dsse.Envelope {
	t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(env, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func changed(t *testing.T, env []byte, change func(*dsse.Envelope)) []byte {
	t.Helper()
	e := read(t, env)
	change(&e)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flip changes one bit in the middle of base64.
func flip(t *testing.T, text string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	return base64.StdEncoding.EncodeToString(b)
}
