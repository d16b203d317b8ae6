package oidc

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
)

func (p *place) try(t testing.TB) error {
	t.Helper()
	_, _, err := p.through(t, request(t, origin+"/Op", p.acme.token(nil), p.key, time.Now()))
	return err
}

// A provider's new key is fetched when it is first met; what the provider has
// withdrawn verifies until its keys are fetched again.
func TestRotation(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	old := p.acme.token(nil)
	if err := p.try(t); err != nil {
		t.Fatal(err)
	}
	p.acme.rotate()
	if err := p.try(t); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	if _, _, err := p.through(t, request(t, origin+"/Op", old, p.key, time.Now())); err != nil {
		t.Errorf("with the old key, which is still published: %v", err)
	}
	p.acme.mu.Lock()
	p.acme.keys = p.acme.keys[:1]
	p.acme.mu.Unlock()
	provider := p.v.provider(p.acme.srv.URL)
	provider.mu.Lock()
	provider.set.at = time.Now().Add(-keysAge)
	provider.mu.Unlock()
	if _, _, err := p.through(t, request(t, origin+"/Op", old, p.key, time.Now())); !errors.Is(err, ErrToken) {
		t.Errorf("with the old key, withdrawn: %v", err)
	}
	if err := p.try(t); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// Without keys that are known to be the provider's, nobody is let in.
func TestProviderFails(t *testing.T) {
	t.Parallel()
	only := func(path string, f http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, path) {
				return false
			}
			f(w, r)
			return true
		}
	}
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(s))
		}
	}
	for _, c := range []struct {
		name, path string
		answer     http.HandlerFunc
		want       error
	}{
		{"no document", "configuration", http.NotFound, ErrKeys},
		{"document of another issuer", "configuration", text(`{"issuer":"https://other.example","jwks_uri":"https://other.example/jwks"}`), ErrKeys},
		{"a document elsewhere", "configuration", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/moved", http.StatusFound) }, ErrKeys},
		{"keys at an address of the machine's own network", "configuration", nil, ErrKeys},
		{"no keys", "jwks", http.NotFound, ErrKeys},
		{"an empty set", "jwks", text(`{"keys":[]}`), ErrToken},
		{"not JSON", "jwks", text(`<html>`), ErrKeys},
		{"keys elsewhere", "jwks", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks2", http.StatusFound) }, ErrKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			if c.answer == nil {
				c.answer = text(`{"issuer":"` + p.acme.srv.URL + `","jwks_uri":"http://169.254.169.254/jwks"}`)
			}
			p.acme.set(only(c.path, c.answer))
			if err := p.try(t); !errors.Is(err, c.want) || errors.Is(err, fas.ErrUnavailable) != (c.want == ErrKeys) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			p.acme.set(nil)
			provider := p.v.provider(p.acme.srv.URL)
			provider.mu.Lock()
			provider.failed = time.Time{}
			provider.mu.Unlock()
			if err := p.try(t); err != nil {
				t.Errorf("when it is back: %v", err)
			}
		})
	}
}

// An answer that would be good, were it not so long.
func TestProviderTalksTooMuch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path string
		size int
		want error
	}{{"configuration", 2 << 20, ErrKeys}, {"jwks", 2 << 20, ErrKeys}, {"configuration", 1 << 10, nil}, {"jwks", 1 << 10, nil}} {
		p := newPlace(t)
		p.acme.set(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, c.path) {
				_, _ = w.Write([]byte(strings.Repeat(" ", c.size))) // JSON may begin so
			}
			return false
		})
		if err := p.try(t); !errors.Is(err, c.want) {
			t.Errorf("%s of %d bytes: %v, want %v", c.path, c.size, err, c.want)
		}
	}
}

// Strangers cannot make the firewall ask a provider as often as they like.
func TestProviderIsNotFlooded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if err := p.try(t); err != nil {
		t.Fatal(err)
	}
	stranger := newIssuer(t)
	for range 50 {
		forged := stranger.token(func(_, c fields) { c["iss"] = p.acme.srv.URL })
		if _, _, err := p.through(t, request(t, origin+"/Op", forged, p.key, time.Now())); !errors.Is(err, ErrToken) {
			t.Fatal(err)
		}
	}
	if n := p.acme.asked.Load(); n > 2*(1+fetchBurst) {
		t.Errorf("the provider was asked %d times", n)
	}
	if err := p.try(t); err != nil {
		t.Errorf("who has a good token is let in: %v", err)
	}
	unknown := p.acme.token(func(_, c fields) { c["iss"] = stranger.srv.URL })
	if _, _, err := p.through(t, request(t, origin+"/Op", unknown, p.key, time.Now())); !errors.Is(err, ErrIssuer) || stranger.asked.Load() != 0 {
		t.Errorf("an issuer that nobody named was asked %d times, %v", stranger.asked.Load(), err)
	}
	if p.v.providers[stranger.srv.URL] != nil {
		t.Error("an issuer that nobody named is remembered")
	}
	b := &budget{at: time.Now()}
	if b.take(time.Now()) || !b.take(time.Now().Add(2*fetchEvery)) {
		t.Error("a provider must be asked again later, and only then")
	}
}
