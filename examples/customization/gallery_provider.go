package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/oidc"
	"github.com/cloisterdev/cloister/tenant"
)

// demoOrigin is how the demo's callers with tokens address the service.
const (
	demoHost   = "customization.demo"
	demoOrigin = "http://" + demoHost
)

// tokenIssuer is a small identity provider of a tenant's: discovery and keys.
type tokenIssuer struct {
	url    string
	key    *ecdsa.PrivateKey
	server *http.Server
}

func startIssuer() (*tokenIssuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &tokenIssuer{url: "http://" + l.Addr().String(), key: key}
	p.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out any = map[string]string{"issuer": p.url, "jwks_uri": p.url + "/jwks"}
		if r.URL.Path == "/jwks" {
			out = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	})}
	go func() { _ = p.server.Serve(l) }()
	return p, nil
}

// token is one that the provider gives to the holder of a key, for an audience.
func (p *tokenIssuer) token(audience string, holder crypto.PublicKey) (string, error) {
	print, err := (&jose.JSONWebKey{Key: holder}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "1"}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	b, err := json.Marshal(map[string]any{"iss": p.url, "sub": "dev", "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"cnf": map[string]string{"jkt": base64.RawURLEncoding.EncodeToString(print)}})
	if err != nil {
		return "", err
	}
	signed, err := s.Sign(b)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// tokens are attacks with tokens of a tenant's own identity provider.
func (g *gallery) tokens() ([]attack, func(), error) {
	p, err := startIssuer()
	if err != nil {
		return nil, nil, err
	}
	end := func() { _ = p.server.Close() }
	dev := g.a.dev.User
	root, err := rootKey(g.st.Dir())
	if err == nil {
		err = firewalld.ChangeTenant(firewallDir(g.st.Dir()), root, dev.Tenant, func(t *firewalld.Tenant) error {
			t.Issuer = &firewalld.Issuer{URL: p.url, Audience: "urn:acme", Subjects: map[string]tenant.UserID{"dev": dev.User}}
			return nil
		})
	}
	holder, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	thief, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for _, e := range []error{err, err1, err2} {
		if e != nil {
			end()
			return nil, nil, e
		}
	}
	call := func(arn, audience string, proof *ecdsa.PrivateKey, signedFor string) (outcome, error) {
		body := g.retrievals(arn)
		token, err := p.token(audience, holder.Public())
		if err != nil {
			return outcome{}, err
		}
		r, err := http.NewRequest(http.MethodPost, demoOrigin+"/"+signedFor, bytes.NewReader(body))
		if err != nil {
			return outcome{}, err
		}
		r.Header.Set("Content-Type", "application/json")
		if err := oidc.SignRequest(r, body, token, proof, time.Now()); err != nil {
			return outcome{}, err
		}
		r.Host, r.URL.Host, r.URL.Path = demoHost, g.st.Addr(), "/GetRetrievals"
		r.Body = io.NopCloser(bytes.NewReader(body))
		a, err := client.Send(http.DefaultClient, r)
		return seen(a), err
	}
	works := func(context.Context) error {
		got, err := call(g.a.arn, "urn:acme", holder, "GetRetrievals")
		if err == nil && got.refused {
			err = fmt.Errorf("a good token: %s", got.saw)
		}
		return err
	}
	one := func(id, title, arn, audience string, proof *ecdsa.PrivateKey, signedFor string) attack {
		return attack{id, title, "oidc", func(context.Context) (outcome, error) { return call(arn, audience, proof, signedFor) }, works}
	}
	return []attack{
		one("token-other-audience", "a provider's token for another service", g.a.arn, "urn:another-service", holder, "GetRetrievals"),
		one("token-stolen", "a token used without the key that it names", g.a.arn, "urn:acme", thief, "GetRetrievals"),
		one("token-other-operation", "a proof made for another operation", g.a.arn, "urn:acme", holder, "ListCustomizations"),
		one("token-other-tenant", "a good token for the other tenant's customization", g.b.arn, "urn:acme", holder, "GetRetrievals"),
	}, end, nil
}
