package authz

import (
	"context"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

type nobody struct{}

func (nobody) User(context.Context, tenant.ID, tenant.UserID) (UserFacts, error) {
	return UserFacts{}, ErrUnknown
}
func (nobody) Customization(context.Context, tenant.CustomizationID) (CustomizationFacts, error) {
	return CustomizationFacts{}, ErrUnknown
}
func (nobody) Record(context.Context, audit.Event) error { return nil }
func (nobody) Append(context.Context, audit.Event) error { return nil }

// Authorize compares the tenants before it asks Cedar. The guard is the layer
// behind that: here it stands alone, in the sets that are really evaluated.
func TestGuardAlone(t *testing.T) {
	s, err := ParseSchema("cloister", []byte(DefaultSchema))
	if err != nil {
		t.Fatal(err)
	}
	everything := Source{Name: "everything", Text: "permit(principal, action, resource);"}
	a, err := New(s, []Source{everything}, nobody{}, nobody{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	own := tenant.NewID()
	if _, err := a.SetTenantPolicies(t.Context(), own, []Source{everything}); err != nil {
		t.Fatal(err)
	}
	user, catalog := uidOf("User", tenant.NewUserID().String()), uidOf("Catalog", "x")
	decide := func(set *set, theirs string) string {
		entities := types.EntityMap{
			user: {UID: user, Attributes: types.NewRecord(types.RecordMap{"tenant": uidOf("Tenant", own.String()), "admin": types.True})},
		}
		entities[catalog] = types.Entity{UID: catalog, Attributes: types.NewRecord(types.RecordMap{"tenant": uidOf("Tenant", theirs)})}
		for _, e := range s.actions {
			entities[e.UID] = e
		}
		d, diag := cedar.Authorize(set.policies, entities, cedar.Request{Principal: user, Action: uidOf("Action", "ListCustomizations"), Resource: catalog, Context: types.Record{}})
		return verdict(set, d, diag)
	}
	failed := cedar.Diagnostic{Errors: []cedar.DiagnosticError{{PolicyID: "nobody's"}}}
	if got := verdict(a.base, cedar.Allow, failed); got != "forbid-failed" {
		t.Errorf("an error in a policy that is not in the set: %q", got)
	}
	for name, set := range map[string]*set{"the service's": a.base, "a tenant's": a.tenants[own]} {
		if got := decide(set, tenant.NewID().String()); got != "guard" {
			t.Errorf("%s policies: a foreign resource: %q", name, got)
		}
		if got := decide(set, own.String()); got != "" {
			t.Errorf("%s policies: the own resource: %q", name, got)
		}
	}
}
