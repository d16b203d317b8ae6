// Package profile holds the upper bounds of what the identity firewall may
// exchange for a customer's signed call. A profile counts only when the
// service, the security and the identity team each signed it: no one person,
// and no one key, can set one up.
//
// The form is a DSSE envelope (secure-systems-lab/dsse) with Ed25519
// signatures; the role of a signature is the role of its key.
//
// # What it refuses
//
//	ErrMalformed   a profile or envelope that is not strictly of the form
//	ErrUnapproved  a missing role, or a signature that does not verify
//	ErrKeyring     one key in two roles, or a role without a key
//	ErrExpired     before NotBefore or after NotAfter
//
// Values are immutable and safe for concurrent use.
//
// # What it does not protect against
//
// Three teams that agree on something unwise. An older profile that was never
// replaced remains valid until NotAfter; keep validity short.
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
)

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
	case p.TTL < 1 || time.Duration(p.TTL)*time.Second > MaxTTL:
		return fmt.Errorf("%w: ttl must be between 1 and 900 seconds", ErrMalformed)
	case !p.NotAfter.After(p.NotBefore) || p.NotAfter.Sub(p.NotBefore) > 400*24*time.Hour:
		return fmt.Errorf("%w: validity must be positive and at most 400 days", ErrMalformed)
	}
	return nil
}

const payloadType = "application/vnd.cloister.profile.v1+json"

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

// New returns an envelope without signatures.
func New(p Profile) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{payloadType, payload, []signature{}})
}

// Sign adds the signature of one key to an envelope.
func Sign(env []byte, key tenant.Secret) ([]byte, error) {
	e, err := parse(env)
	if err != nil {
		return nil, err
	}
	err = key.Use(func(seed []byte) error {
		if len(seed) != ed25519.SeedSize {
			return fmt.Errorf("%w: a signing key is an Ed25519 seed of 32 bytes", ErrKeyring)
		}
		priv := ed25519.NewKeyFromSeed(seed)
		e.Signatures = append(e.Signatures, signature{keyID(priv.Public().(ed25519.PublicKey)), ed25519.Sign(priv, pae(e.Payload))})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

func parse(b []byte) (envelope, error) {
	var e envelope
	if err := strict(b, &e); err != nil {
		return e, err
	}
	if e.PayloadType != payloadType || len(e.Payload) == 0 || len(e.Signatures) > 16 {
		return e, fmt.Errorf("%w: envelope", ErrMalformed)
	}
	return e, nil
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: not strict JSON", ErrMalformed)
	}
	if d.More() {
		return fmt.Errorf("%w: data after the object", ErrMalformed)
	}
	return nil
}

// Verified is a profile that every role approved. The zero value is none.
type Verified struct {
	p    Profile
	hash string
}

// Load verifies an envelope against the keyring at the given time.
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
	v := &Verified{}
	if err := strict(e.Payload, &v.p); err != nil {
		return nil, err
	}
	if err := v.p.check(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(e.Payload)
	v.hash = hex.EncodeToString(sum[:])
	return v, v.Err(now)
}

// Err returns [ErrExpired] outside the validity, and for the zero value.
func (v *Verified) Err(now time.Time) error {
	if v == nil || v.hash == "" || now.Before(v.p.NotBefore) || now.After(v.p.NotAfter) {
		return ErrExpired
	}
	return nil
}

// Profile returns the approved profile.
func (v *Verified) Profile() Profile { return v.p }

// Hash returns the SHA-256 of the signed payload in hex, for audit records.
func (v *Verified) Hash() string { return v.hash }
