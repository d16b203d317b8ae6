package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/fas/oidc"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// provider is an identity provider of a tenant.
func provider(t *testing.T) (url string, token func(subject, audience string, key crypto.PublicKey) string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "1", Algorithm: "ES256", Use: "sig"}
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out any = map[string]string{"issuer": srv.URL, "jwks_uri": srv.URL + "/jwks"}
		if r.URL.Path == "/jwks" {
			out = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func(subject, audience string, holder crypto.PublicKey) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix()
		claims := map[string]any{"iss": srv.URL, "sub": subject, "aud": audience, "iat": now, "exp": now + 300}
		if holder != nil {
			thumb, err := (&jose.JSONWebKey{Key: holder}).Thumbprint(crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			claims["cnf"] = map[string]string{"jkt": base64.RawURLEncoding.EncodeToString(thumb)}
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
}

// A tenant's user calls with a key pair or with the tenant's own provider, and
// is the same user, with the same rights, as with an access key.
func TestOtherIdentities(t *testing.T) {
	dir, host := t.TempDir(), "service.local"
	st, err := stack.Start(testContext(t, 30*time.Second), stack.Config{Dir: dir, Log: io.Discard,
		Args: []string{"--origin", "http://" + host, "--private-issuers"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Stop)
	run := func(c command, args ...string) (string, error) {
		var out bytes.Buffer
		err := c(context.Background(), append(args, "--data", dir), &out)
		return out.String(), err
	}
	must := func(c command, args ...string) string {
		t.Helper()
		out, err := run(c, args...)
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out
	}
	settle := func(name string) (u client.User) {
		var made struct{ Tenant string }
		if err := json.Unmarshal([]byte(must(runTenant, "add", name, "--json")), &made); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(must(runUser, "add", made.Tenant, name, "--admin", "--json")), &u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	acme, glob := settle("acme"), settle("globex")
	send := func(op, body string, sign func(*http.Request) error) int {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, "http://"+host+"/"+op, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if err := sign(r); err != nil {
			t.Fatal(err)
		}
		r.Host, r.URL.Host = host, st.Addr()
		a, err := client.Send(http.DefaultClient, r)
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != 200 && a.Status != 403 {
			t.Errorf("%s: %d %s", op, a.Status, a.Body)
		}
		return a.Status
	}
	check := func(name string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	const op, body = "ListCustomizations", "{}"

	// A key pair.
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(kind string, der []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	file := keep("PUBLIC KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(private)
	secret := keep("PRIVATE KEY", der, err)
	prove := func(u client.User) string {
		t.Helper()
		var out bytes.Buffer
		if err := runKey(context.Background(), []string{"prove", u.Tenant.String(), u.User.String(), secret}, &out); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out.String())
	}
	with := func(id string, k ed25519.PrivateKey, body string) func(*http.Request) error {
		return func(r *http.Request) error {
			return httpsig.SignRequest(r, []byte(body), httpsig.Key{ID: id, Private: k}, time.Now())
		}
	}
	of := acme
	of.User = glob.User
	if _, err := run(runKey, "add", acme.Tenant.String(), glob.User.String(), file, prove(of)); err == nil {
		t.Error("a key for another tenant's user was taken")
	}
	for name, proof := range map[string]string{"the owner's": prove(acme), "no": "", "something else for a": "?"} {
		if _, err := run(runKey, "add", glob.Tenant.String(), glob.User.String(), file, proof); err == nil {
			t.Errorf("another's key was taken with %s proof", name)
		}
	}
	id := strings.TrimSpace(strings.TrimPrefix(must(runKey, "add", acme.Tenant.String(), acme.User.String(), file, prove(acme)), "keyid "))
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	check("a stranger's key", send(op, body, with(id, stranger, body)), 403)
	check("another body", send(op, body, with(id, private, "{ }")), 403)
	check("signed in two ways", send(op, body, func(r *http.Request) error {
		if err := sigv4.SignRequest(r, []byte(body), sigv4.Credentials{AccessKeyID: acme.AccessKeyID, Secret: tenant.NewSecret([]byte(acme.Secret)),
			Region: client.Region, Service: client.Service}, time.Now()); err != nil {
			return err
		}
		return with(id, private, body)(r)
	}), 403)
	check("the user's key", send(op, body, with(id, private, body)), 200)
	must(runKey, "remove", acme.Tenant.String(), id)
	check("a key that was removed", send(op, body, with(id, private, body)), 403)

	// A token of the tenant's own provider.
	url, token := provider(t)
	holder, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	proved := func(token string, k crypto.Signer) func(*http.Request) error {
		return func(r *http.Request) error { return oidc.SignRequest(r, []byte(body), token, k, time.Now()) }
	}
	good := token("alice", "urn:acme", holder.Public())
	check("an issuer that nobody named", send(op, body, proved(good, holder)), 403)
	must(runIssuer, "set", acme.Tenant.String(), url, "urn:acme", "alice="+acme.User.String())
	if _, err := run(runIssuer, "set", glob.Tenant.String(), url, "urn:acme", "alice="+glob.User.String()); err == nil {
		t.Error("two tenants have one issuer and audience")
	}
	check("another audience", send(op, body, proved(token("alice", "urn:globex", holder.Public()), holder)), 403)
	check("nobody", send(op, body, proved(token("mallory", "urn:acme", holder.Public()), holder)), 403)
	check("another's proof", send(op, body, proved(good, other)), 403)
	check("a bearer token", send(op, body, proved(token("alice", "urn:acme", nil), holder)), 403)
	check("a token without a proof", send(op, body, func(r *http.Request) error { r.Header.Set("Authorization", "DPoP "+good); return nil }), 403)
	check("a token with its proof", send(op, body, proved(good, holder)), 200)
	must(runIssuer, "clear", acme.Tenant.String())
	check("an issuer that was taken away", send(op, body, proved(good, holder)), 403)
	for _, args := range [][]string{{}, {"set", acme.Tenant.String()}, {"set", acme.Tenant.String(), url, "a", "x"}, {"clear", acme.Tenant.String(), "x"}, {"set", "x", url, "a"}} {
		if _, err := run(runIssuer, args...); err == nil {
			t.Errorf("issuer %v was taken", args)
		}
	}
}

// A slip in --data makes no second service.
func TestNoServiceThere(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nodata")
	id := tenant.NewID().String()
	for name, run := range map[string]func() error{
		"tenant add": func() error { return runTenant(t.Context(), []string{"add", "acme", "--data", dir}, io.Discard) },
		"user add":   func() error { return runUser(t.Context(), []string{"add", id, "alice", "--data", dir}, io.Discard) },
		"settings":   func() error { return changeTenant(dir, id, func(*firewalld.Tenant) error { return nil }) },
	} {
		if err := run(); err == nil || !strings.Contains(err.Error(), "serve --data") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}
