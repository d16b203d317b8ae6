package localsts

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package.
var (
	ErrToken  = errors.New("localsts: session token not accepted")
	ErrConfig = errors.New("localsts: keys are missing")
	// ErrUnknownKey comes with [ErrToken] where the token names a key that the
	// verifier does not have: one of another authority, one that is retired, or
	// one that the verifier has not heard of yet.
	ErrUnknownKey = fmt.Errorf("%w: unknown key", ErrToken)
	// ErrCondition comes with [ErrToken] where a layer of a session names a
	// condition key or variable that no request has; the text says which.
	ErrCondition = fmt.Errorf("%w: a condition by what no request has", ErrToken)
)

const (
	keyPrefix = "ASIA"
	// version stands for everything about the form of a token: the algorithms,
	// the order of its parts, and what is signed.
	version  = "2."
	maxToken = 8 << 10
	// maxLife is what a profile allows, and a minute for clocks that differ.
	maxLife = profile.MaxTTL + time.Minute
)

// Authority mints sessions. It is an fas.Issuer, safe for concurrent use.
type Authority struct {
	mu   sync.RWMutex
	keys Keys
}

// NewAuthority refuses missing keys, and a set that is none, with [ErrConfig].
func NewAuthority(k Keys) (*Authority, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	return &Authority{keys: k.clone()}, nil
}

// Use puts another set into force, of [Keys.Rotate] or [Keys.Renew]. Make it
// durable first: sessions of keys that are lost are refused. It refuses with
// [ErrConfig] a set that is not of a later version.
func (a *Authority) Use(k Keys) error {
	if err := k.check(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if k.Version <= a.keys.Version {
		return fmt.Errorf("%w: version %d is in force", ErrConfig, a.keys.Version)
	}
	a.keys = k.clone()
	return nil
}

// Material returns what verifiers of [profile.DefaultAudience] need now.
func (a *Authority) Material() Material { return a.MaterialFor(profile.DefaultAudience) }

// MaterialFor returns what verifiers of one audience need now. What it holds
// derives no secret of a session for another audience.
func (a *Authority) MaterialFor(audience string) Material {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.keys.material(audience, time.Now())
}

// Issue implements fas.Issuer. It refuses the zero Grant with [ErrConfig],
// layers that do not fit into a token with [ErrToken], and layers that no bucket
// could decide by with [ErrCondition].
func (a *Authority) Issue(_ context.Context, g fas.Grant) (fas.Credentials, error) {
	if g.Session().IsZero() || g.Caller().IsZero() || g.Audience() == "" {
		return fas.Credentials{}, ErrConfig
	}
	profile, scope := g.Layers()
	for _, raw := range [][]byte{profile, scope} {
		if _, err := parseLayer(raw); err != nil {
			return fas.Credentials{}, err
		}
	}
	a.mu.RLock()
	pair := a.keys.current(time.Now())
	a.mu.RUnlock()
	bucket, _ := g.Bucket()
	payload, err := json.Marshal(Claims{Session: g.Session(), Tenant: g.Caller().Tenant(), User: g.Caller().User(), Audience: g.Audience(), Bucket: bucket,
		Profile: profile, Scope: scope, Expires: g.Expires().Unix()})
	if err != nil {
		return fas.Credentials{}, err
	}
	priv := ed25519.NewKeyFromSeed(pair.Seed)
	token := seal(priv, payload)
	if len(token) > maxToken {
		return fas.Credentials{}, fmt.Errorf("%w: %d bytes", ErrToken, len(token))
	}
	return fas.Credentials{AccessKeyID: accessKey(g.Session()), Secret: secret(pair.forAudience(g.Audience()), g.Session()), Token: token}, nil
}

func accessKey(id tenant.SessionID) string {
	return keyPrefix + strings.ToUpper(strings.TrimPrefix(id.String(), "ses-"))
}

func secret(service []byte, id tenant.SessionID) tenant.Secret {
	m := hmac.New(sha256.New, service)
	m.Write([]byte("session secret\x00" + id.String()))
	return tenant.NewSecret([]byte(hex.EncodeToString(m.Sum(nil))))
}

// signed is what the signature of a token is over.
func signed(id string, payload []byte) []byte {
	return append([]byte(version+id+"."), payload...)
}

func seal(priv ed25519.PrivateKey, payload []byte) string {
	id, enc := keyID(priv.Public().(ed25519.PublicKey)), base64.RawURLEncoding
	return version + id + "." + enc.EncodeToString(payload) + "." + enc.EncodeToString(ed25519.Sign(priv, signed(id, payload)))
}
