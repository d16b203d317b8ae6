package localsts

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/tenant"
)

// Claims is what a session says. Only [Verifier.Lookup] makes one.
type Claims struct {
	Session tenant.SessionID `json:"sid"`
	Tenant  tenant.ID        `json:"tn"`
	User    tenant.UserID    `json:"usr"`
	// Audience is the service that the session is for.
	Audience string          `json:"aud"`
	Bucket   string          `json:"b"`
	Profile  json.RawMessage `json:"p"`
	Scope    json.RawMessage `json:"s"`
	Expires  int64           `json:"exp"` // unix seconds

	layers []*policy.Document
}

// Verifier checks sessions at a bucket. It is safe for concurrent use.
type Verifier struct {
	mu       sync.RWMutex
	version  int
	audience string
	keys     map[string]VerifierKey // by their IDs
}

// NewVerifier refuses missing keys, and material that is none, with
// [ErrConfig].
func NewVerifier(m Material) (*Verifier, error) {
	v := &Verifier{audience: m.Audience}
	if err := v.Update(m); err != nil {
		return nil, err
	}
	return v, nil
}

// Update replaces the verifier's keys: those that m does not have are refused
// from now on. It refuses with [ErrConfig], and changes nothing, for material of
// another audience or of an earlier version than the verifier has.
func (v *Verifier) Update(m Material) error {
	if err := m.check(); err != nil {
		return err
	}
	keys := map[string]VerifierKey{}
	for _, k := range m.Keys {
		keys[keyID(k.PublicKey)] = VerifierKey{bytes.Clone(k.PublicKey), bytes.Clone(k.Service), k.Until}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if m.Audience != v.audience {
		return fmt.Errorf("%w: material of another audience", ErrConfig)
	}
	if m.Version < v.version {
		return fmt.Errorf("%w: version %d is in force", ErrConfig, v.version)
	}
	v.version, v.keys = m.Version, keys
	return nil
}

func (k VerifierKey) live(now time.Time) bool { return k.Until.IsZero() || now.Before(k.Until) }

// Lookup checks a token and returns its claims and the secret that requests
// under it are signed with. An error wraps [ErrToken], and [ErrUnknownKey] for a
// key that is not of the material or is retired, or [ErrCondition] for a layer
// that [Claims.Allows] could not decide by.
func (v *Verifier) Lookup(accessKeyID, token string, now time.Time) (*Claims, tenant.Secret, error) {
	rest, ok := strings.CutPrefix(token, version)
	if !ok || len(token) > maxToken || strings.Count(rest, ".") != 2 {
		return nil, tenant.Secret{}, ErrToken
	}
	parts := strings.Split(rest, ".")
	v.mu.RLock()
	key, known := v.keys[parts[0]]
	audience := v.audience
	v.mu.RUnlock()
	if !known || !key.live(now) {
		return nil, tenant.Secret{}, ErrUnknownKey
	}
	payload, ok := decode(parts[1])
	sig, ok2 := decode(parts[2])
	if !ok || !ok2 || !ed25519.Verify(key.PublicKey, signed(parts[0], payload), sig) {
		return nil, tenant.Secret{}, ErrToken
	}
	var c Claims
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || d.InputOffset() != int64(len(payload)) {
		return nil, tenant.Secret{}, ErrToken
	}
	if c.Session.IsZero() || c.Tenant.IsZero() || c.User.IsZero() || accessKey(c.Session) != accessKeyID {
		return nil, tenant.Secret{}, ErrToken
	}
	if c.Audience != audience {
		return nil, tenant.Secret{}, fmt.Errorf("%w: for another audience", ErrToken)
	}
	if now.Unix() >= c.Expires {
		return nil, tenant.Secret{}, fmt.Errorf("%w: expired", ErrToken)
	}
	if c.Expires > now.Add(maxLife).Unix() {
		return nil, tenant.Secret{}, fmt.Errorf("%w: for too long", ErrToken)
	}
	for _, raw := range [][]byte{c.Profile, c.Scope} {
		doc, err := parseLayer(raw)
		if err != nil {
			return nil, tenant.Secret{}, err
		}
		c.layers = append(c.layers, doc)
	}
	return &c, secret(key.Service, c.Session), nil
}

// decode accepts the one form of base64: that of the standard library ignores
// line breaks.
func decode(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return b, err == nil && base64.RawURLEncoding.EncodeToString(b) == s
}

// Allows decides one access: every layer must allow. The layers see
// aws:PrincipalTag/tenant and aws:CurrentTime, and name nothing else. Identity
// services are refused whatever the layers say, so that no session mints another.
func (c *Claims) Allows(action, resource string, now time.Time) bool {
	if c == nil || now.Unix() >= c.Expires || len(c.layers) != 2 {
		return false
	}
	low := strings.ToLower(action)
	if strings.HasPrefix(low, "sts:") || strings.HasPrefix(low, "iam:") {
		return false
	}
	return policy.Allowed(policy.Request{Action: action, Resource: resource, Context: c.context(now)}, c.layers...)
}
