package oidc_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/oidc"
	"github.com/cloisterdev/cloister/tenant"
)

// directory knows one issuer of one tenant, and no keys of bearer tokens.
type directory struct{ acme tenant.ID }

func (d directory) Issuer(url, audience string) (oidc.Issuer, bool) {
	return oidc.Issuer{Tenant: d.acme, URL: url, Audience: audience}, url == "https://login.acme.example" && audience == "urn:cloister:acme"
}

func (d directory) User(context.Context, tenant.ID, oidc.Subject) (tenant.UserID, error) {
	return tenant.UserID{}, errors.New("nobody")
}

func (d directory) Registered(context.Context, tenant.ID, tenant.UserID, [32]byte) (bool, error) {
	return false, nil
}

func Example() {
	d := directory{tenant.NewID()}
	v, err := oidc.NewVerifier(d, d, oidc.Options{Origins: []string{"https://api.example.com"}})
	fmt.Println(err)

	// A token alone, as a bearer sends it, is no evidence.
	const token = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUiLCJhdWQiOiJ1cm46Y2xvaXN0ZXI6YWNtZSJ9.AAAA"
	r := httptest.NewRequest(http.MethodPost, "/GetRetrievals", strings.NewReader("{}"))
	r.Host, r.URL.Scheme = "api.example.com", "https"
	r.Header.Set("Authorization", "Bearer "+token)
	_, _, err = oidc.Capture(r, 1<<10)
	fmt.Println(errors.Is(err, oidc.ErrNoToken))

	// With a proof of this call it is; and the issuer is nobody's here.
	_, key, _ := ed25519.GenerateKey(nil)
	fmt.Println(oidc.SignRequest(r, []byte("{}"), token, key, time.Now()))
	captured, _, err := oidc.Capture(r, 1<<10)
	fmt.Println(err)
	ev, err := captured.Signed()
	fmt.Println(ev.Claim().Path, err)
	raw, _ := ev.MarshalBinary()
	_, _, err = v.Verify(context.Background(), raw[len("oidc\n"):], time.Now())
	fmt.Println(errors.Is(err, oidc.ErrIssuer), errors.Is(err, fas.ErrAudience))
	// Output:
	// <nil>
	// true
	// <nil>
	// <nil>
	// /GetRetrievals <nil>
	// true true
}
