package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// Issuer is the identity provider of one tenant.
type Issuer struct {
	Tenant tenant.ID
	// URL is the issuer as its tokens name it, and Audience what they must be
	// for, alone. Both are required.
	URL, Audience string
	// Algorithms are those that the provider signs with; empty means RS256 and
	// ES256. HMAC and "none" are refused whatever is said here.
	Algorithms []string
	// Type is the type that its tokens declare; empty means "at+jwt", as RFC
	// 9068 demands of access tokens. "JWT" also takes what is no access token:
	// let the audience be one that no other kind of token is for.
	Type string
}

// Issuers finds the one tenant for which an issuer's tokens with this audience
// are. It is called concurrently.
type Issuers interface {
	Issuer(url, audience string) (Issuer, bool)
}

// Subject is whom a verified token is about.
type Subject struct {
	Issuer, Subject string
	// Claims are all of the token's, as JSON.
	Claims []byte
}

// Users knows a tenant's users. It is called concurrently; an error is a
// refusal.
type Users interface {
	// User returns the user that a subject is.
	User(context.Context, tenant.ID, Subject) (tenant.UserID, error)
	// Registered reports whether the key of this thumbprint (RFC 7638, SHA-256)
	// was registered as the user's. It is asked only for tokens that name no key;
	// what it does not know for certain it must deny.
	Registered(ctx context.Context, t tenant.ID, u tenant.UserID, thumbprint [32]byte) (bool, error)
}

// Options bounds what a [Verifier] accepts.
type Options struct {
	// Origins are the schemes and hosts, "https://api.example.com", that callers
	// must have addressed. Required.
	Origins []string
	// MaxPast is how old a proof may be: zero means 5 minutes, and it is at most
	// 15. The token's end can only shorten it.
	MaxPast time.Duration
	// MaxFuture is how far a caller's clock may be ahead: zero means 30
	// seconds, and it is at most 15 minutes.
	MaxFuture time.Duration
	// PrivateNetworks also takes issuers at private and loopback addresses, and
	// over plain http; link-local and reserved ones stay refused. Whoever may set
	// an issuer then makes this process send requests into its own network.
	PrivateNetworks bool
}

const maxWindow = 15 * time.Minute

// Verifier is a [fas.Verifier] of [tenant.MethodOIDC]. It is safe for concurrent
// use.
type Verifier struct {
	issuers Issuers
	users   Users
	o       Options

	waiting chan struct{} // places of calls that wait for a provider

	mu        sync.Mutex
	providers map[string]*provider
}

var _ fas.Verifier = (*Verifier)(nil)

// NewVerifier refuses a nil part, and options without origins, with [ErrConfig].
func NewVerifier(issuers Issuers, users Users, o Options) (*Verifier, error) {
	if issuers == nil || users == nil || len(o.Origins) == 0 {
		return nil, ErrConfig
	}
	if o.MaxPast <= 0 {
		o.MaxPast = 5 * time.Minute
	}
	if o.MaxFuture <= 0 {
		o.MaxFuture = 30 * time.Second
	}
	o.MaxPast, o.MaxFuture = min(o.MaxPast, maxWindow), min(o.MaxFuture, maxWindow)
	return &Verifier{issuers: issuers, users: users, o: o, waiting: make(chan struct{}, maxWaiting), providers: map[string]*provider{}}, nil
}

// Verify implements [fas.Verifier]. What can be refused without the provider is
// refused first.
func (v *Verifier) Verify(ctx context.Context, raw []byte, now time.Time) (fas.Identity, fas.Claim, error) {
	w, p, err := parse(raw)
	if err != nil {
		return fas.Identity{}, fas.Claim{}, fmt.Errorf("%w: %w", fas.ErrNoEvidence, err)
	}
	c := w.claim(p, p.time().Add(v.o.MaxPast))
	c.Ahead = v.o.MaxFuture
	id, end, err := v.decide(ctx, w, p, now)
	switch {
	case errors.Is(err, ErrSkew):
		err = fmt.Errorf("%w: %w", fas.ErrTime, err)
	case errors.Is(err, ErrIssuer), errors.Is(err, ErrRequest):
		err = fmt.Errorf("%w: %w", fas.ErrAudience, err)
	case errors.Is(err, ErrKeys):
		err = fmt.Errorf("%w: %w", fas.ErrUnavailable, err)
	}
	if err != nil {
		return fas.Identity{}, c, err
	}
	if end.Before(c.Until) {
		c.Until = end
	}
	return id, c, nil
}

func (v *Verifier) decide(ctx context.Context, w wire, p *proof, now time.Time) (id fas.Identity, end time.Time, err error) {
	if err := p.verify(); err != nil {
		return id, end, err
	}
	if !slices.Contains(v.o.Origins, p.scheme+"://"+p.host) {
		return id, end, ErrRequest
	}
	if age := now.Sub(p.time()); age > v.o.MaxPast || age < -v.o.MaxFuture {
		return id, end, fmt.Errorf("%w: %s off", ErrSkew, age.Round(time.Second))
	}
	jws, err := compact(w.Token, asymmetric)
	if err != nil {
		return id, end, fmt.Errorf("%w: %w", ErrToken, err)
	}
	issuer, err := v.issuer(jws)
	if err != nil {
		return id, end, err
	}
	payload, err := v.provider(issuer.URL).verify(ctx, jws)
	if err != nil {
		return id, end, err
	}
	t, err := v.token(ctx, issuer, w.Token, payload, now)
	if err != nil {
		return id, end, err
	}
	s := Subject{Issuer: issuer.URL, Subject: t.Subject, Claims: t.raw}
	user, err := v.users.User(ctx, issuer.Tenant, s)
	if err != nil || user.IsZero() {
		return id, end, errors.Join(ErrUser, err)
	}
	if err := v.bound(ctx, issuer.Tenant, user, t, p); err != nil {
		return id, end, err
	}
	return fas.Identity{Tenant: issuer.Tenant, User: user}, time.Unix(t.Expires, 0), nil
}

// tokenClaims are those of a token, read case-sensitively.
type tokenClaims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	Expires  int64           `json:"exp"`
	IssuedAt int64           `json:"iat"`
	Confirm  json.RawMessage `json:"cnf"`
	raw      []byte
}

func (t tokenClaims) audience() (string, error) {
	var one string
	if json.Unmarshal(t.Audience, &one) == nil && one != "" {
		return one, nil
	}
	var list []string
	if err := json.Unmarshal(t.Audience, &list); err != nil || len(list) != 1 || list[0] == "" {
		return "", fmt.Errorf("%w: not one audience", ErrIssuer)
	}
	return list[0], nil
}

// issuer finds whose token it claims to be. Nothing is believed here: the
// token is verified against what is found.
func (v *Verifier) issuer(jws *jose.JSONWebSignature) (Issuer, error) {
	var t tokenClaims
	if err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &t); err != nil {
		return Issuer{}, fmt.Errorf("%w: claims", ErrToken)
	}
	audience, err := t.audience()
	if err != nil {
		return Issuer{}, err
	}
	i, ok := v.issuers.Issuer(t.Issuer, audience)
	if !ok {
		return Issuer{}, ErrIssuer
	}
	if i.URL != t.Issuer || i.Audience != audience || i.Tenant.IsZero() {
		return Issuer{}, fmt.Errorf("%w: another one was found", ErrIssuer)
	}
	if err := checkIssuer(i.URL, v.o.PrivateNetworks); err != nil {
		return Issuer{}, err
	}
	if len(i.Algorithms) == 0 {
		i.Algorithms = []string{"RS256", "ES256"}
	}
	for _, a := range i.Algorithms {
		if !slices.Contains(asymmetric, jose.SignatureAlgorithm(a)) {
			return Issuer{}, fmt.Errorf("%w: algorithm of an issuer", ErrConfig)
		}
	}
	if i.Type == "" {
		i.Type = "at+jwt"
	}
	h := jws.Signatures[0].Protected
	if !slices.Contains(i.Algorithms, h.Algorithm) {
		return Issuer{}, fmt.Errorf("%w: algorithm", ErrToken)
	}
	if typ := h.ExtraHeaders["typ"]; typ != i.Type && typ != "application/"+i.Type {
		return Issuer{}, fmt.Errorf("%w: type", ErrToken)
	}
	return i, nil
}

var asymmetric = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// token checks what the issuer signed.
func (v *Verifier) token(ctx context.Context, i Issuer, text string, payload signed, now time.Time) (t tokenClaims, err error) {
	got, err := gooidc.NewVerifier(i.URL, payload, &gooidc.Config{ClientID: i.Audience, SupportedSigningAlgs: i.Algorithms, Now: func() time.Time { return now }}).Verify(ctx, text)
	var expired *gooidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return t, fmt.Errorf("%w: the token expired", ErrSkew)
	case err != nil:
		return t, fmt.Errorf("%w: %w", ErrToken, err)
	}
	// What the library reads is compared with what is read strictly: a claim
	// that two readers read differently is nobody's.
	var raw json.RawMessage
	if err := got.Claims(&raw); err != nil {
		return t, fmt.Errorf("%w: claims", ErrToken)
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("%w: claims", ErrToken)
	}
	audience, err := t.audience()
	if err != nil || t.Issuer != got.Issuer || t.Subject != got.Subject || audience != i.Audience || t.Expires != got.Expiry.Unix() || t.Subject == "" || len(t.Subject) > maxText {
		return t, fmt.Errorf("%w: claims", ErrToken)
	}
	if !now.Before(time.Unix(t.Expires, 0)) || time.Unix(t.IssuedAt, 0).After(now.Add(v.o.MaxFuture)) || t.IssuedAt <= 0 {
		return t, fmt.Errorf("%w: the token's own times", ErrSkew)
	}
	t.raw = raw
	return t, nil
}

func (v *Verifier) provider(issuer string) *provider {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.providers[issuer]
	if p == nil {
		p = newProvider(issuer, v.o.PrivateNetworks, v.waiting)
		v.providers[issuer] = p
	}
	return p
}

// bound decides whether the key that signed the proof is the caller's: the
// token's own, or where it names none a registered one.
func (v *Verifier) bound(ctx context.Context, id tenant.ID, user tenant.UserID, t tokenClaims, p *proof) error {
	if t.Confirm != nil {
		// Whatever the provider bound the token to, it must be this.
		var cnf struct {
			Thumbprint string `json:"jkt"`
		}
		if err := json.Unmarshal(t.Confirm, &cnf); err != nil || cnf.Thumbprint != base64.RawURLEncoding.EncodeToString(p.thumbprint[:]) {
			return ErrBinding
		}
		return nil
	}
	known, err := v.users.Registered(ctx, id, user, p.thumbprint)
	if err != nil || !known {
		return errors.Join(ErrBinding, err)
	}
	return nil
}
