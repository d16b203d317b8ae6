package oidc

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

type silent struct{}

func (silent) Record(context.Context, audit.Event) error { return nil }
func (silent) Append(context.Context, audit.Event) error { return nil }

// A real firewall lets the provider's user in, once with each proof.
func TestThroughAFirewall(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	dir, root := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{9}, 32))
	name, err := tenant.NewText("acme", 10)
	if err != nil {
		t.Fatal(err)
	}
	if p.acmeID, err = firewalld.AddTenant(dir, root, name); err != nil {
		t.Fatal(err)
	}
	key, err := firewalld.AddUser(dir, root, p.acmeID, name, true)
	if err != nil {
		t.Fatal(err)
	}
	p.alice = key.User
	srv, err := firewalld.Open(dir, root, silent{}, &firewalld.Options{
		Operations: []fas.Operation{{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}},
		Verifiers:  map[tenant.Method]fas.Verifier{tenant.MethodOIDC: p.v}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Close() }()
	token := p.acme.token(bind(t, p.key))
	call := func(proof string) error {
		r := request(t, origin+"/CreateCustomization", token, p.key, time.Now().Add(time.Second))
		r.RequestURI = "/CreateCustomization"
		if proof != "" {
			r.Header.Set("DPoP", proof)
		}
		captured, _, err := Capture(r, 1<<16)
		if err != nil {
			return err
		}
		ev, err := captured.Signed()
		if err != nil {
			return err
		}
		s, err := srv.AssumeOwn(t.Context(), ev, fas.Request{RequestID: tenant.NewRequestID()})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	proof := func(jti, query string) string {
		return proofOf(t, token, p.key, func(c fields) {
			c["jti"], c["htu"], c["htq"], c["iat"] = jti, origin+"/CreateCustomization", query, time.Now().Add(time.Second).Unix()
		})
	}
	for _, c := range []struct {
		name, proof string
		want        error
	}{
		{"the first", proof("1", ""), nil},
		{"its number again, in another proof", proof("1", ""), fas.ErrReplayed},
		{"another number", proof("2", ""), nil},
		{"a stranger's key", proofOf(t, token, newKey(t), func(c fields) { c["htu"], c["htq"] = origin+"/CreateCustomization", "" }), fas.ErrDenied},
	} {
		if err := call(c.proof); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
