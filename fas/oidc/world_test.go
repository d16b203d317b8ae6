package oidc

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

const origin = "https://api.example.com"

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// issuer is a small identity provider: discovery, keys, and whatever tokens a
// test wants.
type issuer struct {
	t     testing.TB
	srv   *httptest.Server
	asked atomic.Int64

	mu     sync.Mutex
	keys   []jose.JSONWebKey // private; the first one signs
	answer func(http.ResponseWriter, *http.Request) bool
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t}
	i.rotate()
	i.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.answer != nil && i.answer(w, r) {
			return
		}
		var out any = map[string]any{"issuer": i.srv.URL, "jwks_uri": i.srv.URL + "/jwks"}
		if r.URL.Path == "/jwks" {
			var set jose.JSONWebKeySet
			for _, k := range i.keys {
				set.Keys = append(set.Keys, k.Public())
			}
			out = set
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(i.srv.Close)
	return i
}

func (i *issuer) rotate() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append([]jose.JSONWebKey{{Key: newKey(i.t), KeyID: rand.Text(), Algorithm: "ES256", Use: "sig"}}, i.keys...)
}

func (i *issuer) set(answer func(http.ResponseWriter, *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = answer
}

type fields = map[string]any

// token is a good token, changed.
func (i *issuer) token(change func(header, claims fields)) string {
	i.t.Helper()
	i.mu.Lock()
	key := i.keys[0]
	i.mu.Unlock()
	now := time.Now().Unix()
	claims := fields{"iss": i.srv.URL, "sub": "alice", "aud": "urn:acme", "iat": now, "exp": now + 60}
	header := fields{"typ": "at+jwt"}
	if change != nil {
		change(header, claims)
	}
	o := &jose.SignerOptions{}
	for k, v := range header {
		o = o.WithHeader(jose.HeaderKey(k), v)
	}
	return signJWT(i.t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, o, claims)
}

func signJWT(t testing.TB, k jose.SigningKey, o *jose.SignerOptions, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(k, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// thumbprint is what a provider writes into cnf.jkt.
func thumbprint(t testing.TB, k crypto.Signer) [32]byte {
	t.Helper()
	jwk := jose.JSONWebKey{Key: k.Public()}
	b, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(b)
}

// place is two tenants, each with its own issuer, and one user each.
type place struct {
	acme, globex   *issuer
	acmeID, globID tenant.ID
	alice, bob     tenant.UserID
	key            *ecdsa.PrivateKey // alice's, registered
	v              *Verifier
	change         func(*Issuer)
}

func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{acme: newIssuer(t), globex: newIssuer(t), acmeID: tenant.NewID(), globID: tenant.NewID(),
		alice: tenant.NewUserID(), bob: tenant.NewUserID(), key: newKey(t)}
	var err error
	if p.v, err = NewVerifier(p, p.users(t), Options{Origins: []string{origin}, PrivateNetworks: true}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *place) Issuer(url, audience string) (i Issuer, ok bool) {
	switch {
	case url == p.acme.srv.URL && audience == "urn:acme":
		i = Issuer{Tenant: p.acmeID, URL: url, Audience: audience}
	case url == p.globex.srv.URL && audience == "urn:globex":
		i = Issuer{Tenant: p.globID, URL: url, Audience: audience}
	default:
		return i, false
	}
	if p.change != nil {
		p.change(&i)
	}
	return i, true
}

type users struct {
	*place
	registered [32]byte
}

func (p *place) users(t testing.TB) users { return users{p, thumbprint(t, p.key)} }

var errNobody = errors.New("nobody")

func (u users) User(_ context.Context, t tenant.ID, s Subject) (tenant.UserID, error) {
	switch {
	case t == u.acmeID && s.Subject == "alice":
		return u.alice, nil
	case t == u.globID && s.Subject == "alice":
		return u.bob, nil // the same name, another person
	}
	return tenant.UserID{}, errNobody
}

func (u users) Registered(_ context.Context, t tenant.ID, id tenant.UserID, thumb [32]byte) (bool, error) {
	return t == u.acmeID && id == u.alice && thumb == u.registered, nil
}

const testBody = `{"a":1}`

// request is a signed request as a server sees it.
func request(t testing.TB, url, token string, key crypto.Signer, at time.Time) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, url, strings.NewReader(testBody))
	r.URL.Scheme, r.URL.Host = "https", r.Host
	if err := SignRequest(r, []byte(testBody), token, key, at); err != nil {
		t.Fatal(err)
	}
	return r
}

// raw is what of evidence reaches the verifier.
func raw(t testing.TB, e Evidence, body []byte) []byte {
	t.Helper()
	e, err := e.WithBody(body)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := e.Signed()
	if err != nil {
		t.Fatal(err)
	}
	b, err := ev.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	_, b, _ = bytes.Cut(b, []byte{'\n'})
	return b
}

// through captures a request and verifies what was captured.
func (p *place) through(t testing.TB, r *http.Request) (fas.Identity, fas.Claim, error) {
	t.Helper()
	target := r.RequestURI
	if i := strings.Index(target, "://"); i > 0 {
		target = target[i+3:]
		r.RequestURI = target[strings.IndexByte(target, '/'):]
	}
	ev, body, err := Capture(r, 1<<16)
	if err != nil {
		return fas.Identity{}, fas.Claim{}, err
	}
	return p.v.Verify(t.Context(), raw(t, ev, body), time.Now())
}
