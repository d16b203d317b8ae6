package profile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterdev/cloister/tenant"
)

const (
	payloadType   = "application/vnd.cloister.profile.v1+json"
	maxSignatures = 16
)

type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   []byte `json:"sig"`
}

// add puts a key's signature in, in the place of an older one of the same key:
// who signs twice takes no room from the other teams.
func (e *envelope) add(s signature) {
	e.Signatures = slices.DeleteFunc(e.Signatures, func(old signature) bool { return old.KeyID == s.KeyID })
	e.Signatures = append(e.Signatures, s)
}

// pae is DSSE's pre-authentication encoding.
func pae(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// New returns an envelope without signatures, for [Sign] and [AttachSSH], with
// the defaults of the profile written out: what the teams sign has no unsaid
// part. An error wraps [ErrMalformed].
func New(p Profile) ([]byte, error) {
	p = p.withDefaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	env, err := json.Marshal(envelope{payloadType, payload, []signature{}})
	if err != nil {
		return nil, err
	}
	if _, _, err := read(env); err != nil {
		return nil, err
	}
	return env, nil
}

// Sign adds the signature of one key, an Ed25519 seed of 32 bytes, to an
// envelope; of a key that signed before, the new signature replaces it. It signs nothing that [Load] would call malformed. An error wraps
// [ErrMalformed] or [ErrKeyring].
func Sign(env []byte, key tenant.Secret) ([]byte, error) {
	e, _, err := read(env)
	if err != nil {
		return nil, err
	}
	err = key.Use(func(seed []byte) error {
		if len(seed) != ed25519.SeedSize {
			return errors.New("a signing key is an Ed25519 seed of 32 bytes")
		}
		priv := ed25519.NewKeyFromSeed(seed)
		k, err := Ed25519(priv.Public().(ed25519.PublicKey))
		e.add(signature{k.ID(), ed25519.Sign(priv, pae(e.Payload))})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyring, err)
	}
	return e.write()
}

// Payload returns the bytes that the teams sign with ssh-keygen: the profile as
// JSON. An error wraps [ErrMalformed].
func Payload(env []byte) ([]byte, error) {
	e, _, err := read(env)
	return e.Payload, err
}

// Unverified returns what an envelope says and the hash of it, whoever signed
// it or did not: it is for people who read a profile before they sign it, and
// grants nothing. An error wraps [ErrMalformed].
func Unverified(env []byte) (Profile, string, error) {
	e, p, err := read(env)
	if err != nil {
		return Profile{}, "", err
	}
	return p, e.hash(), nil
}

func (e envelope) hash() string {
	sum := sha256.Sum256(e.Payload)
	return hex.EncodeToString(sum[:])
}

func (e envelope) write() ([]byte, error) {
	if len(e.Signatures) > maxSignatures {
		return nil, fmt.Errorf("%w: more than %d signatures", ErrMalformed, maxSignatures)
	}
	b, err := json.Marshal(e)
	if err == nil && len(b) > MaxSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxSize)
	}
	return b, err
}

func parse(b []byte) (envelope, error) {
	var e envelope
	if len(b) > MaxSize {
		return e, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxSize)
	}
	var tight bytes.Buffer
	if err := json.Compact(&tight, b); err != nil {
		return e, fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	if err := strict(tight.Bytes(), &e); err != nil {
		return e, err
	}
	if e.PayloadType != payloadType || len(e.Payload) == 0 || len(e.Signatures) > maxSignatures {
		return e, fmt.Errorf("%w: envelope", ErrMalformed)
	}
	return e, nil
}

// read parses an envelope and its profile.
func read(b []byte) (envelope, Profile, error) {
	e, err := parse(b)
	if err != nil {
		return envelope{}, Profile{}, err
	}
	p, err := e.profile()
	if err != nil {
		return envelope{}, Profile{}, err
	}
	return e, p, nil
}

func (e envelope) profile() (Profile, error) {
	var p Profile
	if err := strict(e.Payload, &p); err != nil {
		return Profile{}, err
	}
	return p, p.check()
}

// strict accepts the one form that encoding/json writes. It decodes leniently:
// the last of two equal keys counts, whatever their case.
func strict(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: not of the form", ErrMalformed)
	}
	if again, err := json.Marshal(v); err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not in the one form", ErrMalformed)
	}
	return nil
}
