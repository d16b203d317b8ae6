package firewalld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// Tenant is what a tenant decides outside of its signed calls. It is kept
// sealed; a firewall applies a change before the tenant's next call.
type Tenant struct {
	Name tenant.Text `json:"name"`
	// KeyDisabled stops every use of the tenant's key until it is enabled.
	KeyDisabled bool `json:"key_disabled,omitempty"`
	// Revoked are the customizations whose grants are retired, for good: what
	// is sealed under them is never opened again.
	Revoked []tenant.CustomizationID `json:"revoked,omitempty"`
	// Policies are the tenant's own Cedar policies.
	Policies []authz.Source `json:"policies,omitempty"`
	// Issuer is the tenant's own identity provider.
	Issuer *Issuer `json:"issuer,omitempty"`
}

// ChangeTenant changes what [Tenant] holds, in this or in another process than
// the firewall's. Changes of one tenant are made one after another; after an
// error of change nothing is different. Policies are checked first: an error
// wraps authz.ErrRejected. An issuer that is another tenant's is [ErrTaken]. An
// unknown tenant is [ErrNoTenant].
func ChangeTenant(dir string, root tenant.Secret, id tenant.ID, change func(*Tenant) error) (err error) {
	v, unlock, err := lockVault(dir, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	path := v.tenantPath(id)
	var t, old Tenant
	for _, f := range []*Tenant{&t, &old} {
		if err := v.get(path, id.String(), f); err != nil {
			return noTenant(id, err)
		}
	}
	if err := change(&t); err != nil {
		return err
	}
	if len(t.Policies) > 0 {
		schema, err := authz.ParseSchema("cloister", []byte(authz.DefaultSchema))
		if err != nil {
			return err
		}
		for _, p := range t.Policies {
			if err := schema.Check(p); err != nil {
				return err
			}
		}
	}
	// What says whose an issuer is comes first and goes last. Alone it says
	// nothing: the tenant's file must agree.
	if err := v.claimIssuer(id, t.Issuer); err != nil {
		return err
	}
	if err := v.put(path, id.String(), t); err != nil {
		return err
	}
	return v.releaseIssuer(old.Issuer, t.Issuer)
}

// ErrNoTenant is returned for a tenant that was never added.
var ErrNoTenant = errors.New("firewalld: no such tenant")

func noTenant(id tenant.ID, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNoTenant, id)
	}
	return err
}

func (v *vault) tenantPath(id tenant.ID) string {
	return filepath.Join(v.dir, "tenants", id.String())
}

// tenants applies the sealed files of tenants to the parts that act on them.
type tenants struct {
	v   *vault
	rec audit.Recorder
	// effect is called once for each new content, after it was recorded.
	effect func(context.Context, tenant.ID, Tenant) error

	mu      sync.RWMutex
	applied map[tenant.ID]os.FileInfo
	one     sync.Mutex // one change at a time
}

// current returns when the tenant's file, as it is now, is in force. It costs
// one stat when nothing has changed. An error means that nothing of the tenant
// may be done.
func (t *tenants) current(ctx context.Context, id tenant.ID) error {
	path := t.v.tenantPath(id)
	now, err := os.Stat(path)
	if err != nil {
		return noTenant(id, err)
	}
	t.mu.RLock()
	old := t.applied[id]
	t.mu.RUnlock()
	if old != nil && same(old, now) {
		return nil
	}
	t.one.Lock()
	defer t.one.Unlock()
	// The file is described before it is read: a change in between is applied
	// again with the next call.
	if now, err = os.Stat(path); err != nil {
		return noTenant(id, err)
	}
	var f Tenant
	if err := t.v.get(path, id.String(), &f); err != nil {
		return noTenant(id, err)
	}
	e := audit.Event{Time: time.Now(), Kind: "tenant.settings", Tenant: id, Decision: audit.Allow, Reason: "applied",
		Detail: map[string]string{"key_disabled": fmt.Sprint(f.KeyDisabled), "revoked": fmt.Sprint(len(f.Revoked)), "policies": fmt.Sprint(len(f.Policies))}}
	if err := t.rec.Record(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", fas.ErrAudit, err)
	}
	if err := t.effect(ctx, id, f); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.applied[id] = now
	return nil
}

// same compares what a rename changes.
func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// applyTenant puts a tenant's decisions into force. Policies that are not
// accepted leave the old ones in force and are recorded; the rest is applied.
func (s *Server) applyTenant(ctx context.Context, id tenant.ID, t Tenant) error {
	if err := s.kms.EnsureKey(ctx, id.String()); err != nil {
		return err
	}
	if err := s.kms.SetDisabled(ctx, id.String(), t.KeyDisabled); err != nil {
		return err
	}
	rows, err := s.registry.List(ctx, id)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if slices.Contains(t.Revoked, row.Customization) {
			if err := s.kms.RetireGrant(ctx, row.Grant); err != nil {
				return err
			}
		}
	}
	if _, err := s.authorizer.SetTenantPolicies(ctx, id, t.Policies); err != nil {
		return s.recorder.Append(ctx, audit.Event{Time: time.Now(), Kind: "tenant.policies", Tenant: id, Decision: audit.Deny, Reason: "rejected"})
	}
	return nil
}
