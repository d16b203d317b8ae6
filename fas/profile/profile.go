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
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package.
var (
	ErrMalformed  = errors.New("profile: malformed")
	ErrUnapproved = errors.New("profile: not approved by every role")
	ErrKeyring    = errors.New("profile: keyring not accepted")
	ErrExpired    = errors.New("profile: not valid now")
	ErrRollback   = errors.New("profile: does not replace the other")
)

// MaxSize is the largest envelope accepted, in bytes.
const MaxSize = 64 << 10

// Role is a team that must approve.
type Role string

// The roles. Every one must sign.
const (
	Service  Role = "service"
	Security Role = "security"
	Identity Role = "identity"
)

var roles = []Role{Service, Security, Identity}

// MaxTTL is the longest life of a session under any profile.
const MaxTTL = 15 * time.Minute

// Profile is the upper bound of one kind of exchange.
type Profile struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	// Operations are the signed paths that the profile serves, as "/Name".
	Operations []string `json:"operations"`
	// Allow is a policy in the IAM language.
	Allow json.RawMessage `json:"allow"`
	// Bind is the JSON pointer, in the signed body, of the s3:// URI that
	// bounds the resource.
	Bind string `json:"bind"`
	// TTL is the life of a session in seconds, at most 900.
	TTL       int       `json:"ttl"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

func (p Profile) check() error {
	switch {
	case p.ID == "" || p.Version < 1 || len(p.Operations) == 0 || len(p.Allow) == 0 || p.Bind == "":
		return fmt.Errorf("%w: id, version, operations, allow and bind are required", ErrMalformed)
	case p.TTL < 1 || p.TTL > int(MaxTTL/time.Second):
		return fmt.Errorf("%w: ttl must be between 1 and 900 seconds", ErrMalformed)
	case !p.NotAfter.After(p.NotBefore) || p.NotAfter.Sub(p.NotBefore) > 400*24*time.Hour:
		return fmt.Errorf("%w: validity must be positive and at most 400 days", ErrMalformed)
	}
	return nil
}

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

// Keyring holds one public key for each role.
type Keyring map[Role]ed25519.PublicKey

func (k Keyring) check() error {
	seen := map[string]bool{}
	for _, r := range roles {
		key := k[r]
		if len(key) != ed25519.PublicKeySize || seen[string(key)] {
			return fmt.Errorf("%w: role %q", ErrKeyring, r)
		}
		seen[string(key)] = true
	}
	if len(k) != len(roles) {
		return fmt.Errorf("%w: unknown role", ErrKeyring)
	}
	return nil
}

func keyID(k ed25519.PublicKey) string {
	sum := sha256.Sum256(k)
	return hex.EncodeToString(sum[:8])
}

// pae is DSSE's pre-authentication encoding.
func pae(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// New returns an envelope without signatures, for [Sign]. An error wraps
// [ErrMalformed].
func New(p Profile) ([]byte, error) {
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
	e, err := parse(env)
	if err != nil {
		return nil, err
	}
	if _, err := e.profile(); err != nil {
		return nil, err
	}
	return env, nil
}

// Sign adds the signature of one key, an Ed25519 seed of 32 bytes, to an
// envelope. It signs nothing that [Load] would call malformed. An error wraps
// [ErrMalformed] or [ErrKeyring].
func Sign(env []byte, key tenant.Secret) ([]byte, error) {
	e, err := parse(env)
	if err != nil {
		return nil, err
	}
	if _, err := e.profile(); err != nil {
		return nil, err
	}
	err = key.Use(func(seed []byte) error {
		if len(seed) != ed25519.SeedSize {
			return errors.New("a signing key is an Ed25519 seed of 32 bytes")
		}
		priv := ed25519.NewKeyFromSeed(seed)
		e.Signatures = append(e.Signatures, signature{keyID(priv.Public().(ed25519.PublicKey)), ed25519.Sign(priv, pae(e.Payload))})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyring, err)
	}
	if len(e.Signatures) > maxSignatures {
		return nil, fmt.Errorf("%w: more than %d signatures", ErrMalformed, maxSignatures)
	}
	return json.Marshal(e)
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

// Verified is a profile that every role approved. The zero value is none.
type Verified struct {
	p    Profile
	hash string
}

// Load verifies an envelope against the keyring at the given time. An error
// wraps one of the sentinels of this package, and no profile comes with it.
func Load(env []byte, keys Keyring, now time.Time) (*Verified, error) {
	if err := keys.check(); err != nil {
		return nil, err
	}
	e, err := parse(env)
	if err != nil {
		return nil, err
	}
	signed := pae(e.Payload)
	for _, r := range roles {
		key := keys[r]
		if !slices.ContainsFunc(e.Signatures, func(s signature) bool {
			return s.KeyID == keyID(key) && ed25519.Verify(key, signed, s.Sig)
		}) {
			return nil, fmt.Errorf("%w: role %q", ErrUnapproved, r)
		}
	}
	p, err := e.profile()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(e.Payload)
	v := &Verified{p, hex.EncodeToString(sum[:])}
	if err := v.Err(now); err != nil {
		return nil, err
	}
	return v, nil
}

// Replaces returns nil when v has the ID of old and a later version, or is the
// very same profile, and [ErrRollback] otherwise: whoever kept an approved
// profile cannot bring it back where this is asked.
func (v *Verified) Replaces(old *Verified) error {
	switch {
	case v == nil || v.hash == "" || old == nil || old.hash == "" || v.p.ID != old.p.ID:
		return ErrRollback
	case v.hash != old.hash && v.p.Version <= old.p.Version:
		return ErrRollback
	}
	return nil
}

// Err returns [ErrExpired] outside the validity, and for the zero value.
func (v *Verified) Err(now time.Time) error {
	if v == nil || v.hash == "" || now.Before(v.p.NotBefore) || now.After(v.p.NotAfter) {
		return ErrExpired
	}
	return nil
}

// Profile returns a copy of the approved profile.
func (v *Verified) Profile() Profile {
	p := v.p
	p.Operations, p.Allow = slices.Clone(p.Operations), slices.Clone(p.Allow)
	return p
}

// Hash returns the SHA-256 of the signed payload in hex, for audit records.
func (v *Verified) Hash() string { return v.hash }
