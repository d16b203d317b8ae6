package oidc

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A provider that is away while its keys are due refuses nobody; its keys end
// when they must.
func TestOutage(t *testing.T) {
	still(t, func(t *testing.T, p *place) {
		check := func(when string, want error) {
			t.Helper()
			start := time.Now()
			if err := p.try(t); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", when, err, want)
			}
			if want == nil && time.Since(start) != 0 {
				t.Errorf("%s: the call waited for %s", when, time.Since(start))
			}
		}
		check("the first call", nil)
		p.reach(p.acme.srv.URL, hang)
		time.Sleep(keysDue)
		check("when keys are due and the provider hangs", nil)
		time.Sleep(fetchTimeout + time.Second)
		check("when the fetch has failed", nil)
		p.reach(p.acme.srv.URL, p.acme.direct)
		time.Sleep(failedFor)
		check("when the provider is back", nil)
		synctest.Wait()
		p.reach(p.acme.srv.URL, hang)
		time.Sleep(keysAge - time.Second)
		check("before the newer keys end", nil)
		time.Sleep(time.Second)
		check("when they ended", ErrKeys)
		p.reach(p.acme.srv.URL, p.acme.direct)
		time.Sleep(failedFor + fetchTimeout)
		if err := p.try(t); err != nil {
			t.Errorf("when the provider is back: %v", err)
		}
	})
}

// A key that its provider withdrew verifies until the keys are fetched again,
// and not longer where they cannot be.
func TestWithdrawnKey(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprint("away ", away), func(t *testing.T) {
			still(t, func(t *testing.T, p *place) {
				old := p.acme.keys[0]
				if err := p.stranger(t, old); err != nil {
					t.Fatal(err)
				}
				p.acme.rotate()
				p.acme.keys = p.acme.keys[:1]
				if away {
					p.reach(p.acme.srv.URL, hang)
				}
				time.Sleep(keysDue)
				if err := p.stranger(t, old); err != nil {
					t.Errorf("when keys are due: %v", err)
				}
				synctest.Wait()
				want := ErrToken
				if away {
					want = ErrKeys
					time.Sleep(10*time.Minute - keysDue) // the documentation's word
				}
				if err := p.stranger(t, old); !errors.Is(err, want) {
					t.Errorf("after that: %v, want %v", err, want)
				}
			})
		})
	}
}

// A token by an algorithm that is not its issuer's, or that names a key of the
// provider's and was not signed by it, makes nobody ask; one that names no key is
// verified by each, and by new ones.
func TestKeyNames(t *testing.T) {
	still(t, func(t *testing.T, p *place) {
		p.change = func(i *Issuer) { i.Algorithms = []string{"RS256"} }
		if err := p.try(t); !errors.Is(err, ErrToken) || p.acme.asked.Load() != 0 {
			t.Errorf("another algorithm: %v, asked %d times", err, p.acme.asked.Load())
		}
		p.change = nil
		if err := p.try(t); err != nil {
			t.Fatal(err)
		}
		forger := jose.JSONWebKey{Key: newKey(t), KeyID: p.acme.keys[0].KeyID}
		for range 3 {
			if err := p.stranger(t, forger); !errors.Is(err, ErrToken) || errors.Is(err, errUnknownKey) {
				t.Errorf("another key of the name: %v", err)
			}
		}
		// Whoever found no keys, and now there are some, needs no others.
		if set, err := p.v.provider(p.acme.srv.URL).newer(t.Context(), nil); err != nil || len(set.keys) != 1 {
			t.Errorf("keys that came meanwhile: %v", err)
		}
		if n := p.acme.asked.Load(); n != 2 {
			t.Errorf("the provider was asked %d times", n)
		}
		p.acme.rotate()
		for _, k := range p.acme.keys {
			k.KeyID = ""
			if err := p.stranger(t, k); err != nil {
				t.Errorf("a key without a name: %v", err)
			}
		}
	})
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	private := jose.JSONWebKey{Key: newKey(t), KeyID: "1"}
	set := func(keys ...any) []byte {
		b, err := json.Marshal(fields{"keys": keys})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		set  []byte
		keys int
		bad  bool
	}{
		"keys of other kinds": {set(fields{"kty": "oct", "k": "AAAA"}, fields{"kty": "OKP", "crv": "X448", "x": "AA"}, fields{"kty": "EC"}, fields{}, 1, private.Public()), 1, false},
		"a private key":       {set(private), 0, false},
		"none":                {set(), 0, false},
		"not a set":           {[]byte(`[]`), 0, true},
		"twice":               {[]byte(`{"keys":[],"keys":[]}`), 0, true},
		"not JSON":            {[]byte(`<html>`), 0, true},
		"nothing":             {nil, 0, true},
	} {
		if got, err := parseKeys(c.set); len(got) != c.keys || (err != nil) != c.bad {
			t.Errorf("%s: %d keys, %v", name, len(got), err)
		}
	}
}
