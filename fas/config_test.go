package fas_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/localsts"
	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// The parts that NewFirewall keeps and does not call.
type (
	identities struct{ fas.Identities }
	registry   struct{ fas.Registry }
	keys       struct{ fas.Keys }
	directory  struct{ authz.Directory }
)

func verified(t *testing.T, id, allow string, validFrom time.Time) *profile.Verified {
	t.Helper()
	env, err := profile.New(profile.Profile{ID: id, Version: 1, Operations: []string{"/CreateCustomization"}, Callers: []string{profile.AnyCaller}, Allow: json.RawMessage(allow), Bind: "/uri", TTL: 60,
		NotBefore: validFrom, NotAfter: validFrom.Add(time.Minute)})
	ring := profile.Keyring{}
	for _, r := range []profile.Role{profile.Service, profile.Security, profile.Identity} {
		public, private, kerr := ed25519.GenerateKey(nil)
		key, kerr2 := profile.Ed25519(public)
		if err = errors.Join(err, kerr, kerr2); err == nil {
			ring[r] = []profile.Key{key}
			env, err = profile.Sign(env, tenant.NewSecret(private.Seed()))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := profile.Load(env, ring, validFrom)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const reads = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`

func whole(t *testing.T) fas.Config {
	t.Helper()
	schema, err := authz.ParseSchema("cloister", []byte(authz.DefaultSchema))
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	a, err := authz.New(schema, []authz.Source{{Name: "cloister", Text: authz.DefaultPolicies}}, directory{}, rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := localsts.NewAuthority(localsts.NewKeys())
	if err != nil {
		t.Fatal(err)
	}
	return fas.Config{Identities: identities{}, Authorizer: a, Profiles: []*profile.Verified{verified(t, "p", reads, time.Now().Add(-time.Millisecond))}, Issuer: issuer,
		Registry: registry{}, Keys: keys{}, Audit: rec, Operations: operations, TicketKey: tenant.NewSecret(make([]byte, 32)), Region: "r", Service: "s"}
}

// Every part is required but those that are named here.
func TestFirewallHasAllItsParts(t *testing.T) {
	t.Parallel()
	optional := map[string]bool{"OwnTTL": true, "ReadReplay": true, "Replay": true, "Verifiers": true, "Limits": true, "Audience": true, "ProfileStore": true, "Revocations": true, "Horizons": true}
	fields := reflect.TypeFor[fas.Config]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		t.Run("without "+name, func(t *testing.T) {
			t.Parallel()
			c := whole(t)
			if reflect.ValueOf(c).Field(i).IsZero() != optional[name] {
				t.Fatal("control: the whole configuration lacks a part, or an optional one is set")
			}
			reflect.ValueOf(&c).Elem().Field(i).SetZero()
			f, err := fas.NewFirewall(c)
			if optional[name] {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, fas.ErrConfig) || f != nil {
				t.Errorf("%v, %v", f, err)
			}
		})
	}
}

func TestFirewallRefusesParts(t *testing.T) {
	t.Parallel()
	gone := tenant.NewSecret(make([]byte, 32))
	gone.Destroy()
	op := func(change func(*fas.Operation)) func(*fas.Config) {
		return func(c *fas.Config) {
			o := operations[0]
			change(&o)
			c.Operations = append([]fas.Operation{o}, operations[1:]...)
		}
	}
	for name, change := range map[string]func(*fas.Config){
		"no profiles":                   func(c *fas.Config) { c.Profiles = []*profile.Verified{} },
		"a profile that nobody signed":  func(c *fas.Config) { c.Profiles = []*profile.Verified{{}} },
		"no profile in the list":        func(c *fas.Config) { c.Profiles = append(c.Profiles, nil) },
		"two profiles of one ID":        func(c *fas.Config) { c.Profiles = append(c.Profiles, c.Profiles[0]) },
		"a profile of another day":      func(c *fas.Config) { c.Profiles[0] = verified(t, "p", reads, time.Now().Add(-time.Hour)) },
		"a profile without a policy":    func(c *fas.Config) { c.Profiles[0] = verified(t, "p", `{}`, time.Now().Add(-time.Millisecond)) },
		"a short ticket key":            func(c *fas.Config) { c.TicketKey = tenant.NewSecret(make([]byte, 16)) },
		"a long ticket key":             func(c *fas.Config) { c.TicketKey = tenant.NewSecret(make([]byte, 33)) },
		"a destroyed ticket key":        func(c *fas.Config) { c.TicketKey = gone },
		"an operation without a path":   op(func(o *fas.Operation) { o.Path = "" }),
		"an operation without action":   op(func(o *fas.Operation) { o.Action = "" }),
		"an operation without verbs":    op(func(o *fas.Operation) { o.Verbs = nil }),
		"two operations with one path":  op(func(o *fas.Operation) { o.Path = operations[1].Path }),
		"the same operation once again": func(c *fas.Config) { c.Operations = append(c.Operations[:1:1], c.Operations...) },
	} {
		c := whole(t)
		change(&c)
		if f, err := fas.NewFirewall(c); !errors.Is(err, fas.ErrConfig) || f != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	f, err := fas.NewFirewall(whole(t))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := f.AssumeOwn(context.Background(), fas.Evidence{}, fas.Request{RequestID: tenant.NewRequestID()}); !errors.Is(err, fas.ErrDenied) || s != nil {
		t.Errorf("no evidence: %v, %v", s, err)
	}
}
