package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/cloisterdev/cloister/internal/bodyread"
)

// SignRequest adds token and proof to a client request: Authorization and DPoP.
// The key is an [ecdsa.PrivateKey] on P-256 or an [ed25519.PrivateKey]; another
// is [ErrConfig], and so is an empty token. The request's path must already be
// in its escaped wire form; one that [Capture] refuses is refused here.
func SignRequest(r *http.Request, body []byte, token string, key crypto.Signer, at time.Time) error {
	if token == "" {
		return fmt.Errorf("%w: token", ErrConfig)
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	scheme := r.URL.Scheme
	if scheme == "" {
		scheme = "http"
	}
	path, query, _ := strings.Cut(r.URL.RequestURI(), "?")
	text, err := sign(key, claims{ID: rand.Text(), Method: r.Method, URL: scheme + "://" + normalHost(host, scheme) + path, Query: &query,
		Body: digestText(body), Token: digestText([]byte(token)), IssuedAt: at.Unix()})
	if err != nil {
		return err
	}
	if _, err := parseProof(text, token); err != nil {
		return err
	}
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", text)
	return nil
}

func sign(key crypto.Signer, payload any) (string, error) {
	var alg jose.SignatureAlgorithm
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k != nil && k.Curve == elliptic.P256() {
			alg = jose.ES256
		}
	case ed25519.PrivateKey:
		if len(k) == ed25519.PrivateKeySize {
			alg = jose.EdDSA
		}
	}
	if alg == "" {
		return "", fmt.Errorf("%w: a key on P-256 or edwards25519", ErrConfig)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrConfig, err)
	}
	b, err := json.Marshal(payload)
	if err != nil {
		return "", err
	}
	jws, err := s.Sign(b)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// Transport adds token and proof to every request before it goes to Base. It is
// safe for concurrent use when Token and Base are.
type Transport struct {
	// Key signs proofs; see [SignRequest].
	Key crypto.Signer
	// Token returns the provider's token for this key.
	Token func(context.Context) (string, error)
	// Base is used for the signed request; nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip signs a copy of the request and sends it. The body is read into
// memory first, since its digest is signed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r, body, err := bodyread.Clone(r)
	if err != nil {
		return nil, err
	}
	if t.Token == nil {
		return nil, fmt.Errorf("%w: token", ErrConfig)
	}
	token, err := t.Token(r.Context())
	if err != nil {
		return nil, err
	}
	if err := SignRequest(r, body, token, t.Key, time.Now()); err != nil {
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(r)
}
