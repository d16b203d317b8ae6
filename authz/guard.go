package authz

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// ProveGuard shows that a guard denies whenever caller and resource do not
// have the same tenant, against a policy that permits everything. Entities may
// be missing, may lack the attribute, or may have one of two tenants; for
// guards made of has, ==, !=, &&, || and ! over two entity-valued terms, these
// models are all that can differ, so the enumeration is a proof. A failing
// guard is an error that wraps [ErrGuard] and holds the counterexample.
func ProveGuard(s *Schema, guard string) error {
	if s == nil {
		return fmt.Errorf("%w: no schema", ErrGuard)
	}
	list, err := s.compile(Source{"guard", guard}, nil)
	if err != nil {
		return err
	}
	policies := cedar.PolicyMap{}
	for i, p := range list {
		if p.Effect() != cedar.Forbid {
			return fmt.Errorf("%w: a guard forbids", ErrGuard)
		}
		policies[types.PolicyID(fmt.Sprintf("@guard/%d", i))] = p
	}
	var open cedar.Policy
	if err := open.UnmarshalCedar([]byte("permit(principal, action, resource);")); err != nil {
		return err
	}
	policies["adversary"] = &open
	models := []string{"missing entity", "missing attribute", "t1", "t2"}
	principal := uidOf("User", "p")
	for _, action := range s.actions {
		for resourceType := range s.rs.Entities {
			for _, pt := range models {
				for _, rt := range models {
					if pt == rt && pt[0] == 't' {
						continue
					}
					resource := types.NewEntityUID(resourceType, "r")
					entities := types.EntityMap{}
					for _, a := range s.actions {
						entities[a.UID] = a
					}
					put(entities, principal, pt)
					put(entities, resource, rt)
					d, diag := cedar.Authorize(policies, entities, cedar.Request{Principal: principal, Action: action.UID, Resource: resource, Context: types.Record{}})
					if d == cedar.Allow {
						return fmt.Errorf("%w: principal with %s, %s on %s with %s is allowed (guard errors: %d)", ErrGuard, pt, action.UID.ID, resourceType, rt, len(diag.Errors))
					}
				}
			}
		}
	}
	return nil
}

func put(m types.EntityMap, u types.EntityUID, model string) {
	switch model {
	case "missing entity":
	case "missing attribute":
		m[u] = types.Entity{UID: u}
	default:
		m[u] = types.Entity{UID: u, Attributes: types.NewRecord(types.RecordMap{"tenant": uidOf("Tenant", model)})}
	}
}
