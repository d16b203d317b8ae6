package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// network answers in process, so that a test's clock can stand still.
type network func(*http.Request) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r) }

func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// slow answers each of two questions in time, and both of them not.
func (i *issuer) slow(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(fetchTimeout * 3 / 4):
		return i.direct(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (i *issuer) direct(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	i.srv.Config.Handler.ServeHTTP(w, r)
	return w.Result(), nil
}

func (p *place) reach(url string, n network) {
	p.v.provider(url).client.Transport.(*bounded).base = n
}

// still runs a test in which time passes only while everybody waits.
func still(t *testing.T, f func(*testing.T, *place)) {
	t.Helper()
	t.Parallel()
	p := newPlace(t)
	synctest.Test(t, func(t *testing.T) {
		var err error
		if p.v, err = NewVerifier(p, p.users(t), Options{Origins: []string{origin}, PrivateNetworks: true}); err != nil {
			t.Fatal(err)
		}
		p.reach(p.acme.srv.URL, p.acme.direct)
		p.reach(p.globex.srv.URL, p.globex.direct)
		f(t, p)
	})
}

// other is a good call of the other tenant's.
func (p *place) other(t testing.TB) error {
	t.Helper()
	_, _, err := p.through(t, request(t, origin+"/Op", p.globex.token(func(_, c fields) {
		c["aud"] = "urn:globex"
		bind(t, p.key)(nil, c)
	}), p.key, time.Now()))
	return err
}

// stranger sends a token for acme that nobody's key signed.
func (p *place) stranger(t testing.TB, key jose.JSONWebKey) error {
	t.Helper()
	now := time.Now().Unix()
	token := signJWT(t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"),
		fields{"iss": p.acme.srv.URL, "sub": "alice", "aud": "urn:acme", "iat": now, "exp": now + 60})
	_, _, err := p.through(t, request(t, origin+"/Op", token, p.key, time.Now()))
	return err
}

// A tenant whose provider is slow holds few of a front end's connections, none of
// them longer than a fetch takes, and not the calls of another tenant.
func TestSlowProvider(t *testing.T) {
	still(t, func(t *testing.T, p *place) {
		p.reach(p.globex.srv.URL, p.globex.slow)
		start := time.Now()
		type refusal struct {
			err   error
			after time.Duration
		}
		got := make(chan refusal, 8)
		for range cap(got) {
			go func() {
				err := p.other(t)
				got <- refusal{err, time.Since(start)}
			}()
		}
		synctest.Wait()
		if waiting := cap(got) - len(got); waiting != maxWaitingEach {
			t.Errorf("%d calls wait", waiting)
		}
		if err := p.try(t); err != nil || time.Since(start) != 0 {
			t.Errorf("another tenant's call: %v after %s", err, time.Since(start))
		}
		for range cap(got) {
			if r := <-got; !errors.Is(r.err, ErrKeys) || r.after > fetchTimeout {
				t.Errorf("%v after %s", r.err, r.after)
			}
		}
		again := time.Now()
		if err := p.other(t); !errors.Is(err, ErrKeys) || time.Since(again) != 0 {
			t.Errorf("after the failure: %v after %s", err, time.Since(again))
		}
		p.reach(p.globex.srv.URL, p.globex.direct)
		time.Sleep(failedFor)
		if err := p.other(t); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
}

// Several providers that hang hold no more than the verifier's places, and
// nobody's fetch: the call after it finds the keys.
func TestSlowProviders(t *testing.T) {
	still(t, func(t *testing.T, p *place) {
		jws, err := compact(p.acme.token(nil), asymmetric)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 9)
		for _, url := range []string{"https://1.example", "https://2.example", "https://3.example"} {
			p.reach(url, hang)
			for range 3 {
				go func() {
					_, err := p.v.provider(url).verify(t.Context(), jws)
					got <- err
				}()
			}
		}
		synctest.Wait()
		if waiting := cap(got) - len(got); waiting != maxWaiting {
			t.Errorf("%d calls wait", waiting)
		}
		if err := p.try(t); !errors.Is(err, ErrKeys) {
			t.Errorf("with no place: %v", err)
		}
		synctest.Wait()
		start := time.Now()
		if err := p.try(t); err != nil || time.Since(start) != 0 {
			t.Errorf("with the keys: %v after %s", err, time.Since(start))
		}
		for range cap(got) {
			if err := <-got; !errors.Is(err, ErrKeys) {
				t.Error(err)
			}
		}
		if len(p.v.waiting) != 0 {
			t.Error("a place is not given back")
		}
	})
}

// A caller who leaves does not wait for a provider that hangs, and takes nothing
// from those that wait.
func TestProviderHangs(t *testing.T) {
	still(t, func(t *testing.T, p *place) {
		release := make(chan struct{})
		var asked atomic.Int64
		p.reach(p.acme.srv.URL, func(r *http.Request) (*http.Response, error) {
			asked.Add(1)
			select {
			case <-release:
				return p.acme.direct(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		jws, err := compact(p.acme.token(nil), asymmetric)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() {
				_, err := p.v.provider(p.acme.srv.URL).verify(ctx, jws)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		ctx, leave := context.WithCancel(t.Context())
		first, second := ask(ctx), ask(t.Context())
		leave()
		if err := <-first; !errors.Is(err, ErrKeys) || !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		close(release)
		if err := <-second; err != nil {
			t.Errorf("who stayed: %v", err)
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("the provider was asked %d times, want once for its document and once for its keys", n)
		}
	})
}

// Strangers, whose tokens name keys that nobody has, take none of the fetches
// that keep the keys from getting old, and not many others.
func TestStrangersAndOldKeys(t *testing.T) {
	still(t, func(t *testing.T, p *place) {
		forger, start := newKey(t), time.Now()
		for time.Since(start) < keysAge+2*time.Minute {
			for range 2 {
				if err := p.stranger(t, jose.JSONWebKey{Key: forger, KeyID: rand.Text()}); !errors.Is(err, ErrToken) {
					t.Fatalf("a stranger after %s: %v", time.Since(start), err)
				}
			}
			if err := p.try(t); err != nil {
				t.Fatalf("a good call after %s: %v", time.Since(start), err)
			}
			time.Sleep(10 * time.Second)
		}
		if n, most := p.acme.asked.Load(), 2*(1+fetchBurst+int64(time.Since(start)/fetchEvery)); n > most {
			t.Errorf("the provider was asked %d times, want %d at most", n, most)
		}
		p.acme.rotate()
		time.Sleep(fetchEvery)
		_ = p.stranger(t, jose.JSONWebKey{Key: forger, KeyID: rand.Text()})
		if err := p.try(t); err != nil {
			t.Errorf("a new key, soon after it was published: %v", err)
		}
	})
}
