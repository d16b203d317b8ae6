package oidc

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// real is a provider that others wrote, with a client of the credentials grant.
type real struct {
	t                                    testing.TB
	issuer, id, secret, resource, rotate string
	tenant                               tenant.ID
	user                                 tenant.UserID
	registered                           [32]byte
}

func newReal(t testing.TB) *real {
	t.Helper()
	r := &real{t: t, issuer: os.Getenv("OIDC_ISSUER"), id: os.Getenv("OIDC_CLIENT_ID"), secret: os.Getenv("OIDC_CLIENT_SECRET"),
		resource: os.Getenv("OIDC_RESOURCE"), rotate: os.Getenv("OIDC_ROTATE_COMMAND"), tenant: tenant.NewID(), user: tenant.NewUserID()}
	if r.issuer == "" {
		t.Skip("OIDC_ISSUER does not name a provider; OIDC_CLIENT_ID, OIDC_CLIENT_SECRET and OIDC_RESOURCE go with it")
	}
	return r
}

func (r *real) Issuer(url, audience string) (Issuer, bool) {
	return Issuer{Tenant: r.tenant, URL: r.issuer, Audience: r.resource}, url == r.issuer && audience == r.resource
}

func (r *real) User(_ context.Context, _ tenant.ID, s Subject) (tenant.UserID, error) {
	if s.Subject != r.id {
		return tenant.UserID{}, errNobody
	}
	return r.user, nil
}

func (r *real) Registered(_ context.Context, _ tenant.ID, _ tenant.UserID, thumb [32]byte) (bool, error) {
	return thumb == r.registered, nil
}

// token asks the provider for a token, bound to a key where one is given.
func (r *real) token(resource string, key *ecdsa.PrivateKey) (string, error) {
	r.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}, "scope": {"rag:query"}}
	req, err := http.NewRequest(http.MethodPost, r.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.SetBasicAuth(r.id, r.secret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if key != nil {
		proof, err := sign(key, fields{"jti": time.Now().String(), "htm": "POST", "htu": r.issuer + "/token", "iat": time.Now().Unix()})
		if err != nil {
			r.t.Fatal(err)
		}
		req.Header.Set("DPoP", proof)
	}
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var out struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Error string `json:"error"`
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		r.t.Fatal(err)
	}
	if out.Error != "" {
		return "", errors.New(out.Error)
	}
	if key != nil && out.Type != "DPoP" {
		r.t.Fatalf("the provider gave a token of type %s", out.Type)
	}
	return out.Token, nil
}

// TestRealProvider is not parallel: it rotates the provider's keys.
func TestRealProvider(t *testing.T) {
	r := newReal(t)
	key, other := newKey(t), newKey(t)
	r.registered = thumbprint(t, key)
	v, err := NewVerifier(r, r, Options{Origins: []string{origin}, PrivateNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{v: v}
	must := func(resource string, key *ecdsa.PrivateKey) string {
		t.Helper()
		token, err := r.token(resource, key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	bound, bearer := must(r.resource, other), must(r.resource, nil)
	for _, c := range []struct {
		name, token string
		key         *ecdsa.PrivateKey
		want        error
	}{
		{"bound, by its key", bound, other, nil},
		{"bound, by a registered key", bound, key, ErrBinding},
		{"bearer, by a registered key", bearer, key, nil},
		{"bearer, by another key", bearer, other, ErrBinding},
		{"for another audience", must(r.resource+":other", other), other, ErrIssuer},
		{"one character changed", bound[:len(bound)-10] + "A" + bound[len(bound)-9:], other, ErrToken},
	} {
		if c.want == ErrToken && c.token == bound {
			c.token = bound[:len(bound)-10] + "B" + bound[len(bound)-9:]
		}
		id, _, err := p.through(t, request(t, origin+"/Op", c.token, c.key, time.Now()))
		if !errors.Is(err, c.want) || err == nil && (id.Tenant != r.tenant || id.User != r.user) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	ev, body, err := Capture(bare(request(t, origin+"/Op", bound, other, time.Now())), 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Verify(t.Context(), raw(t, ev, body), time.Now().Add(24*time.Hour)); !errors.Is(err, ErrSkew) {
		t.Errorf("a day later: %v", err)
	}
	if _, err := r.token("urn:elsewhere", nil); err == nil {
		t.Error("the provider gives tokens for any resource")
	}
	t.Run("rotation", func(t *testing.T) {
		if r.rotate == "" {
			t.Skip("OIDC_ROTATE_COMMAND is not a command that makes the provider sign with a new key")
		}
		if out, err := exec.Command("sh", "-c", r.rotate).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for name, token := range map[string]string{"new": must(r.resource, other), "old": bound} {
			if _, _, err := p.through(t, request(t, origin+"/Op", token, other, time.Now())); err != nil {
				t.Errorf("signed with the %s key: %v", name, err)
			}
		}
		if kid(must(r.resource, other)) == kid(bound) {
			t.Error("the provider did not take a new key")
		}
	})
}

func kid(token string) string { return strings.Split(token, ".")[0] }

func bare(r *http.Request) *http.Request {
	r.RequestURI = r.URL.RequestURI()
	return r
}
