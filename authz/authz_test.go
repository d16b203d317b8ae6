package authz_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/tenant"
)

type world struct {
	mu     sync.Mutex
	users  map[tenant.ID]map[tenant.UserID]authz.UserFacts
	things map[tenant.CustomizationID]authz.CustomizationFacts
	events []audit.Event
}

func (w *world) User(_ context.Context, t tenant.ID, u tenant.UserID) (authz.UserFacts, error) {
	if f, ok := w.users[t][u]; ok {
		return f, nil
	}
	return authz.UserFacts{}, authz.ErrUnknown
}

func (w *world) Customization(_ context.Context, c tenant.CustomizationID) (authz.CustomizationFacts, error) {
	if f, ok := w.things[c]; ok {
		return f, nil
	}
	return authz.CustomizationFacts{}, authz.ErrUnknown
}

func (w *world) Record(ctx context.Context, e audit.Event) error { return w.Append(ctx, e) }
func (w *world) Append(_ context.Context, e audit.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	return nil
}

func (w *world) reason() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		return ""
	}
	return w.events[len(w.events)-1].Reason
}

type fixture struct {
	*world
	a                *authz.Authorizer
	admin, dev, peer tenant.Caller
	foreign          tenant.Caller
	cus              tenant.CustomizationID
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	acme, other := tenant.NewID(), tenant.NewID()
	caller := func(id tenant.ID) tenant.Caller {
		c, err := tenant.VerifiedCaller(id, tenant.NewUserID(), tenant.MethodSigV4, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	f := &fixture{admin: caller(acme), dev: caller(acme), peer: caller(acme), foreign: caller(other), cus: tenant.NewCustomizationID()}
	f.world = &world{
		users: map[tenant.ID]map[tenant.UserID]authz.UserFacts{
			acme:  {f.admin.User(): {Admin: true}, f.dev.User(): {}, f.peer.User(): {}},
			other: {f.foreign.User(): {Admin: true}},
		},
		things: map[tenant.CustomizationID]authz.CustomizationFacts{
			f.cus: {Tenant: acme, State: "ACTIVATED", Users: []tenant.UserID{f.dev.User()}},
		},
	}
	s, err := authz.ParseSchema("default", []byte(authz.DefaultSchema))
	if err != nil {
		t.Fatal(err)
	}
	f.a, err = authz.New(s, []authz.Source{{Name: "default", Text: authz.DefaultPolicies}}, f.world, f.world, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) try(c tenant.Caller, a authz.Action, id tenant.CustomizationID) (authz.Permit, error) {
	return f.a.Authorize(context.Background(), c, a, authz.Resource{Tenant: c.Tenant(), Customization: id})
}

func TestDecisions(t *testing.T) {
	f := newFixture(t)
	missing := tenant.NewCustomizationID()
	for _, c := range []struct {
		name   string
		who    tenant.Caller
		action authz.Action
		on     tenant.CustomizationID
		reason string // empty: allowed
	}{
		{"developer uses", f.dev, "GenerateCompletions", f.cus, ""},
		{"developer lists what is available", f.dev, "ListAvailableCustomizations", tenant.CustomizationID{}, ""},
		{"admin creates", f.admin, "CreateCustomization", tenant.CustomizationID{}, ""},
		{"admin deletes", f.admin, "DeleteCustomization", f.cus, ""},
		{"admin does not use", f.admin, "GenerateCompletions", f.cus, "not-permitted"},
		{"colleague without the right", f.peer, "GenerateCompletions", f.cus, "not-permitted"},
		{"developer administers", f.dev, "DeleteCustomization", f.cus, "not-permitted"},
		{"developer creates", f.dev, "CreateCustomization", tenant.CustomizationID{}, "not-permitted"},
		{"foreign admin deletes", f.foreign, "DeleteCustomization", f.cus, "foreign-tenant"},
		{"foreign admin reads", f.foreign, "GetCustomization", f.cus, "foreign-tenant"},
		{"missing", f.dev, "GenerateCompletions", missing, "unknown-customization"},
		{"action of the schema on the wrong kind", f.admin, "CreateCustomization", f.cus, "invalid-request"},
		{"misspelt action", f.admin, "CreateCustomisation", tenant.CustomizationID{}, "invalid-request"},
		{"nobody", tenant.Caller{}, "GenerateCompletions", f.cus, "no-caller"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := f.try(c.who, c.action, c.on)
			if c.reason == "" {
				if err != nil || p.Err() != nil {
					t.Fatalf("%v, %v", err, p.Err())
				}
				return
			}
			if err != authz.ErrDenied || p.Err() == nil {
				t.Fatalf("error %v, permit %v", err, p.Err())
			}
			if f.reason() != c.reason {
				t.Errorf("recorded %q, want %q", f.reason(), c.reason)
			}
		})
	}
}

func TestForeignResourceTenantInRequest(t *testing.T) {
	f := newFixture(t)
	_, err := f.a.Authorize(context.Background(), f.foreign, "CreateCustomization", authz.Resource{Tenant: f.admin.Tenant()})
	if err != authz.ErrDenied {
		t.Fatal(err)
	}
}

func TestInactiveAndDisabled(t *testing.T) {
	f := newFixture(t)
	facts := f.things[f.cus]
	facts.State = "CREATED"
	f.things[f.cus] = facts
	if _, err := f.try(f.dev, "GenerateCompletions", f.cus); err != authz.ErrDenied {
		t.Error("an inactive customization is usable")
	}
	facts.State = "ACTIVATED"
	f.things[f.cus] = facts
	f.users[f.dev.Tenant()][f.dev.User()] = authz.UserFacts{Disabled: true}
	if _, err := f.try(f.dev, "GenerateCompletions", f.cus); err != authz.ErrDenied {
		t.Error("a disabled user is served")
	}
}

func TestTenantPoliciesOpenNothingForeign(t *testing.T) {
	f := newFixture(t)
	open := []authz.Source{{Name: "mine", Text: "permit(principal, action, resource);"}}
	if _, err := f.a.SetTenantPolicies(context.Background(), f.foreign.Tenant(), open); err != nil {
		t.Fatal(err)
	}
	for _, a := range []authz.Action{"GenerateCompletions", "GetRetrievals", "DeleteCustomization", "GetCustomization"} {
		if _, err := f.try(f.foreign, a, f.cus); err != authz.ErrDenied {
			t.Errorf("%s on another tenant's customization: %v", a, err)
		}
	}
	// The control: it opens the submitter's own.
	own := tenant.NewCustomizationID()
	f.things[own] = authz.CustomizationFacts{Tenant: f.foreign.Tenant(), State: "CREATED"}
	if _, err := f.try(f.foreign, "GenerateCompletions", own); err != nil {
		t.Errorf("own customization: %v", err)
	}
}

// Cedar skips a policy that it cannot evaluate. A forbid that is skipped would
// let through what it is there to stop.
func TestForbidThatFailsDenies(t *testing.T) {
	const fails = ` when { 9223372036854775807 + 1 > 0 };`
	for _, c := range []struct{ name, text, reason string }{
		{"a forbid that fails", `permit(principal, action, resource); forbid(principal, action, resource)` + fails, "forbid-failed"},
		{"a permit that fails", `permit(principal, action, resource); permit(principal, action, resource)` + fails, ""},
		{"a permit that fails alone", `permit(principal, action, resource)` + fails, "not-permitted"},
	} {
		f := newFixture(t)
		if _, err := f.a.SetTenantPolicies(t.Context(), f.peer.Tenant(), []authz.Source{{Name: "mine", Text: c.text}}); err != nil {
			t.Fatal(err)
		}
		_, err := f.try(f.peer, "GenerateCompletions", f.cus)
		if got := f.reason(); got != c.reason || (err == nil) != (c.reason == "") {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.reason)
		}
	}
}

func TestRejectedPolicies(t *testing.T) {
	f := newFixture(t)
	foreignID := tenant.NewCustomizationID()
	for _, c := range []struct{ name, text string }{
		{"misspelt attribute", `permit(principal is Cloister::User, action, resource) when { principal.admn };`},
		{"misspelt action", `permit(principal, action == Cloister::Action::"GenerateCompletion", resource);`},
		{"misspelt type in the scope", `permit(principal is Cloister::Usr, action, resource);`},
		{"misspelt type in a condition", `permit(principal, action, resource) when { principal.tenant is Cloister::Tenat };`},
		{"unknown enum member", `permit(principal, action == Cloister::Action::"GenerateCompletions", resource) when { resource.state == Cloister::State::"ACTIVE" };`},
		{"nonsensical resource", `permit(principal, action == Cloister::Action::"CreateCustomization", resource is Cloister::Customization);`},
		{"string for an entity", `permit(principal is Cloister::User, action, resource) when { principal.tenant == "t1" };`},
		{"syntax", `permit(principal, action resource);`},
		{"foreign customization", fmt.Sprintf(`forbid(principal, action, resource == Cloister::Customization::"%s");`, foreignID)},
		{"foreign tenant in a condition", fmt.Sprintf(`permit(principal is Cloister::User, action, resource) when { principal.tenant == Cloister::Tenant::"%s" };`, f.foreign.Tenant())},
		{"too long", strings.Repeat(" ", authz.MaxPolicyBytes+1)},
		{"too deep", "permit(principal, action, resource) when { " + strings.Repeat("(", 3000) + "true" + strings.Repeat(")", 3000) + " };"},
		{"too many negations", "permit(principal, action, resource) when { " + strings.Repeat("!", 5000) + "true };"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := f.a.SetTenantPolicies(context.Background(), f.dev.Tenant(), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.a.SetTenantPolicies(context.Background(), f.dev.Tenant(), []authz.Source{{Name: "x", Text: c.text}})
			var r *authz.RejectedError
			if !errors.Is(err, authz.ErrRejected) || !errors.As(err, &r) || len(r.Findings) == 0 {
				t.Fatalf("got %v", err)
			}
			p, err := f.try(f.dev, "GenerateCompletions", f.cus)
			if err != nil || p.Revision() != before {
				t.Errorf("the old set is not in force: %v", err)
			}
		})
	}
}

func TestGuardIsProved(t *testing.T) {
	s, err := authz.ParseSchema("default", []byte(authz.DefaultSchema))
	if err != nil {
		t.Fatal(err)
	}
	if err := authz.ProveGuard(s, authz.TenantGuard); err != nil {
		t.Errorf("the guard in use: %v", err)
	}
	for name, g := range map[string]string{
		"a permit":          `permit(principal, action, resource);`,
		"allow-list of use": `forbid(principal, action == Cloister::Action::"GenerateCompletions", resource) unless { principal has tenant && resource has tenant && principal.tenant == resource.tenant };`,
		"inequality":        `forbid(principal, action, resource) when { principal has tenant && resource has tenant && principal.tenant != resource.tenant };`,
		"without has":       `forbid(principal, action, resource) unless { principal.tenant == resource.tenant };`,
		"always false":      `forbid(principal, action, resource) when { false };`,
	} {
		if err := authz.ProveGuard(s, g); !errors.Is(err, authz.ErrGuard) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	s, err := authz.ParseSchema("default", []byte(authz.DefaultSchema))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	src := []authz.Source{{Name: "default", Text: authz.DefaultPolicies}}
	for name, f := range map[string]func() (*authz.Authorizer, error){
		"no schema":    func() (*authz.Authorizer, error) { return authz.New(nil, src, w, w, nil) },
		"no policies":  func() (*authz.Authorizer, error) { return authz.New(s, nil, w, w, nil) },
		"no directory": func() (*authz.Authorizer, error) { return authz.New(s, src, nil, w, nil) },
		"no recorder":  func() (*authz.Authorizer, error) { return authz.New(s, src, w, nil, nil) },
		"typo": func() (*authz.Authorizer, error) {
			return authz.New(s, []authz.Source{{Name: "x", Text: "permitt(principal, action, resource);"}}, w, w, nil)
		},
	} {
		if a, err := f(); err == nil || a != nil {
			t.Errorf("%s: made an authorizer", name)
		}
	}
	if _, err := authz.ParseSchema("x", []byte("entity User { tenant: Tenat };")); !errors.Is(err, authz.ErrRejected) {
		t.Errorf("a schema with an unknown type: %v", err)
	}
}

func TestConcurrentReload(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if _, err := f.try(f.peer, "GenerateCompletions", f.cus); err != authz.ErrDenied {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		if _, err := f.a.SetTenantPolicies(context.Background(), f.dev.Tenant(), []authz.Source{{Name: "x", Text: `forbid(principal, action, resource);`}}); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func FuzzCheck(f *testing.F) {
	s, err := authz.ParseSchema("default", []byte(authz.DefaultSchema))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(authz.DefaultPolicies)
	f.Add(authz.TenantGuard)
	f.Add(`permit(principal, action, resource) when { !-(("\"//")) };`)
	f.Fuzz(func(t *testing.T, text string) {
		if err := s.Check(authz.Source{Name: "x", Text: text}); err != nil && !errors.Is(err, authz.ErrRejected) {
			t.Error(err)
		}
	})
}

func BenchmarkAuthorize(b *testing.B) {
	f := newFixture(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.try(f.dev, "GenerateCompletions", f.cus); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleSchema_Check() {
	s, err := authz.ParseSchema("default", []byte(authz.DefaultSchema))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = s.Check(authz.Source{Name: "typo", Text: `permit(principal is Cloister::User, action, resource) when { principal.admni };`})
	fmt.Println(errors.Is(err, authz.ErrRejected))
	fmt.Println(s.Check(authz.Source{Name: "good", Text: `permit(principal is Cloister::User, action, resource) when { principal.admin };`}))
	// Output:
	// true
	// <nil>
}
