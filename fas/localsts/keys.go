package localsts

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

const (
	keySize = 32
	// maxPairs bounds how often keys are changed within the life of a session.
	maxPairs = 16
)

// Keys is everything that an authority needs. It never leaves the firewall.
type Keys struct {
	// Version counts changes of the set, from 1.
	Version int `json:"version"`
	// Set holds at most 16 pairs, in the order in which they begin to sign.
	Set []KeyPair `json:"keys"`
}

// KeyPair is what one generation of sessions is made with.
type KeyPair struct {
	Seed    []byte `json:"seed"`    // Ed25519, 32 bytes
	Service []byte `json:"service"` // derivation of session secrets, 32 bytes
	// From is when it begins to sign.
	From time.Time `json:"from"`
	// Until is when its last session is over; zero while no other has taken
	// its place.
	Until time.Time `json:"until,omitzero"`
}

// NewKeys makes a set of one random pair, which signs from now on.
func NewKeys() Keys { return Keys{1, []KeyPair{newPair(time.Now().UTC().Truncate(time.Second))}} }

func newPair(from time.Time) KeyPair {
	p := KeyPair{Seed: make([]byte, ed25519.SeedSize), Service: make([]byte, keySize), From: from}
	_, _ = rand.Read(p.Seed)
	_, _ = rand.Read(p.Service)
	return p
}

// Rotate returns the next version of the set: a new pair signs from the given
// time on, and the one before it verifies until the last session that it made
// is over, 16 minutes later. There is no gap when every verifier has the new
// [Material] by then; a [Follower] asks for it. Pairs whose sessions are over at
// now are left out. It refuses with [ErrConfig] a time that is past or before
// the newest pair begins, and more than 16 pairs.
func (k Keys) Rotate(now, from time.Time) (Keys, error) {
	if err := k.check(); err != nil {
		return Keys{}, err
	}
	from = from.UTC().Truncate(time.Second)
	last := len(k.Set) - 1
	if !from.After(k.Set[last].From) || from.Before(now.Truncate(time.Second)) {
		return Keys{}, fmt.Errorf("%w: a new pair begins after the others, and not in the past", ErrConfig)
	}
	next := Keys{Version: k.Version + 1}
	for i, p := range k.Set {
		if i == last {
			p.Until = from.Add(maxLife)
		}
		if p.live(now) {
			next.Set = append(next.Set, p.clone())
		}
	}
	if next.Set = append(next.Set, newPair(from)); len(next.Set) > maxPairs {
		return Keys{}, fmt.Errorf("%w: %d pairs are still in use", ErrConfig, maxPairs)
	}
	return next, nil
}

// Renew returns the next version of the set with nothing of this one in it: for
// keys that somebody else has seen. Every session made so far ends as soon as
// the verifiers know.
func (k Keys) Renew() Keys {
	next := NewKeys()
	next.Version = k.Version + 1
	return next
}

// Since is when the newest pair begins to sign; zero for no keys.
func (k Keys) Since() time.Time {
	if len(k.Set) == 0 {
		return time.Time{}
	}
	return k.Set[len(k.Set)-1].From
}

func (k Keys) check() error {
	if k.Version < 1 || len(k.Set) == 0 || len(k.Set) > maxPairs {
		return fmt.Errorf("%w: a set has a version and 1 to %d pairs", ErrConfig, maxPairs)
	}
	seen := map[string]bool{}
	for i, p := range k.Set {
		switch {
		case len(p.Seed) != ed25519.SeedSize || len(p.Service) != keySize:
			return ErrConfig
		case seen[string(p.Seed)]:
			return fmt.Errorf("%w: one pair twice", ErrConfig)
		case i > 0 && !p.From.After(k.Set[i-1].From), (i == len(k.Set)-1) != p.Until.IsZero():
			return fmt.Errorf("%w: pairs are in the order in which they begin, and all but the last one end", ErrConfig)
		case i < len(k.Set)-1 && p.Until.Before(k.Set[i+1].From.Add(maxLife)):
			return fmt.Errorf("%w: a pair ends before the last session that it makes", ErrConfig)
		}
		seen[string(p.Seed)] = true
	}
	return nil
}

func (k Keys) clone() Keys {
	out := Keys{Version: k.Version}
	for _, p := range k.Set {
		out.Set = append(out.Set, p.clone())
	}
	return out
}

// current is the pair that signs at a time: the newest that has begun.
func (k Keys) current(now time.Time) KeyPair {
	out := k.Set[0]
	for _, p := range k.Set[1:] {
		if !now.Before(p.From) {
			out = p
		}
	}
	return out
}

func (p KeyPair) clone() KeyPair {
	p.Seed, p.Service = bytes.Clone(p.Seed), bytes.Clone(p.Service)
	return p
}

func (p KeyPair) live(now time.Time) bool { return p.Until.IsZero() || now.Before(p.Until) }

// forAudience derives what one service's verifiers may know, so that those of
// another cannot use its sessions.
func (p KeyPair) forAudience(audience string) []byte {
	m := hmac.New(sha256.New, p.Service)
	m.Write([]byte("audience\x00" + audience))
	return m.Sum(nil)
}

// keyID names a pair in tokens.
func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// Material is what a bucket's verifiers need: public keys, and the keys that
// derive the secrets of the sessions for one audience. It signs nothing.
type Material struct {
	// Version is that of the [Keys] it was made of.
	Version  int           `json:"version"`
	Audience string        `json:"audience"`
	Keys     []VerifierKey `json:"keys"`
}

// VerifierKey is the verifier's part of a [KeyPair].
type VerifierKey struct {
	PublicKey []byte    `json:"public_key"`
	Service   []byte    `json:"service_key"`
	Until     time.Time `json:"until,omitzero"`
}

func (k Keys) material(audience string, now time.Time) Material {
	m := Material{Version: k.Version, Audience: audience}
	for _, p := range k.Set {
		if p.live(now) {
			public := ed25519.NewKeyFromSeed(p.Seed).Public().(ed25519.PublicKey)
			m.Keys = append(m.Keys, VerifierKey{public, p.forAudience(audience), p.Until})
		}
	}
	return m
}

func (m Material) check() error {
	if m.Version < 1 || m.Audience == "" || len(m.Keys) == 0 || len(m.Keys) > maxPairs {
		return fmt.Errorf("%w: material has a version, an audience and 1 to %d keys", ErrConfig, maxPairs)
	}
	seen := map[string]bool{}
	for i, k := range m.Keys {
		if len(k.PublicKey) != ed25519.PublicKeySize || len(k.Service) != keySize || seen[string(k.PublicKey)] {
			return ErrConfig
		}
		if (i == len(m.Keys)-1) != k.Until.IsZero() {
			return fmt.Errorf("%w: all keys but the last one end", ErrConfig)
		}
		seen[string(k.PublicKey)] = true
	}
	return nil
}
