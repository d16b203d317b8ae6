package localsts

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/policy"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package.
var (
	ErrToken  = errors.New("localsts: session token not accepted")
	ErrConfig = errors.New("localsts: keys are missing")
)

const (
	keyPrefix = "ASIA"
	version   = "1."
	maxToken  = 8 << 10
	// maxLife is what a profile allows, and a minute for clocks that differ.
	maxLife = profile.MaxTTL + time.Minute
)

// Keys is everything that an authority needs. It never leaves the firewall.
type Keys struct {
	Seed    []byte `json:"seed"`    // Ed25519, 32 bytes
	Service []byte `json:"service"` // derivation of session secrets, 32 bytes
}

// NewKeys makes random keys.
func NewKeys() Keys {
	k := Keys{make([]byte, ed25519.SeedSize), make([]byte, 32)}
	_, _ = rand.Read(k.Seed)
	_, _ = rand.Read(k.Service)
	return k
}

// Material is what a bucket's verifier needs.
type Material struct {
	PublicKey []byte `json:"public_key"`
	Service   []byte `json:"service_key"`
}

// Authority mints sessions. It is an fas.Issuer.
type Authority struct {
	priv    ed25519.PrivateKey
	service []byte
}

// NewAuthority refuses missing keys with [ErrConfig].
func NewAuthority(k Keys) (*Authority, error) {
	if len(k.Seed) != ed25519.SeedSize || len(k.Service) != 32 {
		return nil, ErrConfig
	}
	return &Authority{ed25519.NewKeyFromSeed(k.Seed), bytes.Clone(k.Service)}, nil
}

// Material returns what verifiers need.
func (a *Authority) Material() Material {
	return Material{a.priv.Public().(ed25519.PublicKey), bytes.Clone(a.service)}
}

// Claims is what a session says. Only [Verifier.Lookup] makes one.
type Claims struct {
	Session tenant.SessionID `json:"sid"`
	Tenant  tenant.ID        `json:"tn"`
	User    tenant.UserID    `json:"usr"`
	Bucket  string           `json:"b"`
	Profile json.RawMessage  `json:"p"`
	Scope   json.RawMessage  `json:"s"`
	Expires int64            `json:"exp"` // unix seconds

	layers []*policy.Document
}

// Issue implements fas.Issuer. It refuses the zero Grant with [ErrConfig], and
// layers that do not fit into a token with [ErrToken].
func (a *Authority) Issue(_ context.Context, g fas.Grant) (fas.Credentials, error) {
	if g.Session().IsZero() || g.Caller().IsZero() {
		return fas.Credentials{}, ErrConfig
	}
	profile, scope := g.Layers()
	bucket, _ := g.Bucket()
	payload, err := json.Marshal(Claims{Session: g.Session(), Tenant: g.Caller().Tenant(), User: g.Caller().User(), Bucket: bucket,
		Profile: profile, Scope: scope, Expires: g.Expires().Unix()})
	if err != nil {
		return fas.Credentials{}, err
	}
	sig := ed25519.Sign(a.priv, append([]byte(version), payload...))
	enc := base64.RawURLEncoding
	token := version + enc.EncodeToString(payload) + "." + enc.EncodeToString(sig)
	if len(token) > maxToken {
		return fas.Credentials{}, fmt.Errorf("%w: %d bytes", ErrToken, len(token))
	}
	return fas.Credentials{AccessKeyID: accessKey(g.Session()), Secret: secret(a.service, g.Session()), Token: token}, nil
}

func accessKey(id tenant.SessionID) string {
	return keyPrefix + strings.ToUpper(strings.TrimPrefix(id.String(), "ses-"))
}

func secret(service []byte, id tenant.SessionID) tenant.Secret {
	m := hmac.New(sha256.New, service)
	m.Write([]byte("session secret\x00" + id.String()))
	return tenant.NewSecret([]byte(hex.EncodeToString(m.Sum(nil))))
}

// Verifier checks sessions at a bucket.
type Verifier struct {
	public  ed25519.PublicKey
	service []byte
}

// NewVerifier refuses missing keys with [ErrConfig].
func NewVerifier(m Material) (*Verifier, error) {
	if len(m.PublicKey) != ed25519.PublicKeySize || len(m.Service) != 32 {
		return nil, ErrConfig
	}
	return &Verifier{bytes.Clone(m.PublicKey), bytes.Clone(m.Service)}, nil
}

// Lookup checks a token and returns its claims and the secret that requests
// under it are signed with. An error wraps [ErrToken].
func (v *Verifier) Lookup(accessKeyID, token string, now time.Time) (*Claims, tenant.Secret, error) {
	rest, ok := strings.CutPrefix(token, version)
	body, sigText, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || len(token) > maxToken {
		return nil, tenant.Secret{}, ErrToken
	}
	payload, ok := decode(body)
	sig, ok2 := decode(sigText)
	if !ok || !ok2 || !ed25519.Verify(v.public, append([]byte(version), payload...), sig) {
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
	if now.Unix() >= c.Expires {
		return nil, tenant.Secret{}, fmt.Errorf("%w: expired", ErrToken)
	}
	if c.Expires > now.Add(maxLife).Unix() {
		return nil, tenant.Secret{}, fmt.Errorf("%w: for too long", ErrToken)
	}
	for _, raw := range [][]byte{c.Profile, c.Scope} {
		doc, err := policy.Parse(raw)
		if err != nil {
			return nil, tenant.Secret{}, ErrToken
		}
		c.layers = append(c.layers, doc)
	}
	return &c, secret(v.service, c.Session), nil
}

// decode accepts the one form of base64: that of the standard library ignores
// line breaks.
func decode(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return b, err == nil && base64.RawURLEncoding.EncodeToString(b) == s
}

// Allows decides one access: every layer must allow. Identity services are
// refused whatever the layers say, so that no session mints another.
func (c *Claims) Allows(action, resource string, now time.Time) bool {
	if c == nil || now.Unix() >= c.Expires || len(c.layers) != 2 {
		return false
	}
	low := strings.ToLower(action)
	if strings.HasPrefix(low, "sts:") || strings.HasPrefix(low, "iam:") {
		return false
	}
	return policy.Allowed(policy.Request{Action: action, Resource: resource, Context: map[string]string{
		"aws:principaltag/tenant": c.Tenant.String(), "aws:currenttime": now.UTC().Format(time.RFC3339)}}, c.layers...)
}
