package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// keySet is what one fetch brought. It is not changed.
type keySet struct {
	keys []jose.JSONWebKey
	at   time.Time // when the fetch began: what was withdrawn since may be in it
}

func (s *keySet) older(than time.Duration) bool { return s == nil || time.Since(s.at) >= than }

// errUnknownKey is a token that newer keys may verify.
var errUnknownKey = fmt.Errorf("%w: by no key that is known", ErrToken)

// verify returns what a token says that one of the keys signed. A key that the
// token names and that did not sign it is no reason to ask for others: strangers
// know the names too.
func (s *keySet) verify(jws *jose.JSONWebSignature) ([]byte, error) {
	if s == nil {
		return nil, errUnknownKey
	}
	id, err := jws.Signatures[0].Header.KeyID, errUnknownKey
	for _, k := range s.keys {
		if id != "" && id != k.KeyID {
			continue
		}
		if payload, err := jws.Verify(&k); err == nil {
			return payload, nil
		}
		if id != "" {
			err = fmt.Errorf("%w: signature", ErrToken)
		}
	}
	return nil, err
}

// signed is what a token says whose signature is verified: the library verifies
// the rest.
type signed []byte

// VerifySignature implements the library's KeySet.
func (s signed) VerifySignature(context.Context, string) ([]byte, error) { return s, nil }

// fetchKeys asks an issuer for its document, and for the keys where that says
// they are.
func fetchKeys(ctx context.Context, client *http.Client, issuer string) (*keySet, error) {
	s := &keySet{at: time.Now()}
	p, err := gooidc.NewProvider(gooidc.ClientContext(ctx, client), issuer)
	if err != nil {
		return nil, err
	}
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := p.Claims(&document); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, document.Keys, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Cache-Control", "no-cache") // what is withdrawn must not come out of a cache
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, errors.New("oidc: the keys: " + res.Status)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	s.keys, err = parseKeys(b)
	return s, err
}

// parseKeys passes over what is no public key, as RFC 7517 demands of kinds that
// are not known. A set without keys is good: its provider withdrew all of them.
func parseKeys(b []byte) (keys []jose.JSONWebKey, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("oidc: the keys: %w", err)
	}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.IsPublic() && k.Valid() {
			keys = append(keys, k)
		}
	}
	return keys, nil
}
