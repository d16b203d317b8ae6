package firewalld_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

func (w *world) change(t tenant.ID, f func(*firewalld.Tenant) error) {
	w.t.Helper()
	w.ok(firewalld.ChangeTenant(w.dir, w.root, t, f))
}

func (w *world) settings() (n int) {
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	for _, e := range w.rec.events {
		if e.Kind == "tenant.settings" {
			n++
		}
	}
	return n
}

func TestKeyDisabled(t *testing.T) {
	w := newWorld(t)
	w.serve()
	ctx := context.Background()
	w.change(w.admin.tenant, func(t *firewalld.Tenant) error { t.KeyDisabled = true; return nil })
	_, err := w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("with a disabled key", err, fas.ErrDenied)
	create := w.must(w.own(w.admin, "CreateCustomization", tenant.CustomizationID{}))
	if _, _, err := w.c.Catalog(create).Create(ctx, fas.CreateInput{}); err == nil {
		t.Error("a customization under a disabled key")
	}
	// Others go on.
	w.must(w.own(w.other, "ListCustomizations", tenant.CustomizationID{}))
	theirs := w.must(w.own(w.other, "CreateCustomization", tenant.CustomizationID{}))
	_, _, err = w.c.Catalog(theirs).Create(ctx, fas.CreateInput{})
	w.ok(err)
	w.change(w.admin.tenant, func(t *firewalld.Tenant) error { t.KeyDisabled = false; return nil })
	w.must(w.own(w.dev, "GetRetrievals", w.row.Customization))
}

func TestRevokedGrant(t *testing.T) {
	w := newWorld(t)
	w.serve()
	before := w.srv.Grants()
	// Somebody else's customization in the list changes nothing.
	w.change(w.other.tenant, func(t *firewalld.Tenant) error { t.Revoked = append(t.Revoked, w.row.Customization); return nil })
	w.must(w.own(w.other, "ListCustomizations", tenant.CustomizationID{}))
	w.must(w.own(w.dev, "GetRetrievals", w.row.Customization))
	w.change(w.admin.tenant, func(t *firewalld.Tenant) error { t.Revoked = append(t.Revoked, w.row.Customization); return nil })
	_, err := w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("under a retired grant", err, fas.ErrDenied)
	if got := w.srv.Grants(); got != before-1 {
		t.Errorf("%d grants, then %d", before, got)
	}
	// It is for good.
	w.change(w.admin.tenant, func(t *firewalld.Tenant) error { t.Revoked = nil; return nil })
	_, err = w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("under a grant that was retired", err, fas.ErrDenied)
}

func TestTenantPolicies(t *testing.T) {
	const everything = `permit(principal, action, resource);`
	w := newWorld(t)
	w.serve()
	_, err := w.own(w.dev, "UpdateCustomization", w.row.Customization)
	w.refused("a developer administers", err, fas.ErrDenied)
	for _, p := range []person{w.admin, w.other} {
		w.change(p.tenant, func(t *firewalld.Tenant) error {
			t.Policies = []authz.Source{{Name: "everything", Text: everything}}
			return nil
		})
	}
	_, err = w.own(w.other, "GetRetrievals", w.row.Customization)
	w.refused("permit-all of another tenant", err, fas.ErrDenied)
	w.must(w.own(w.dev, "UpdateCustomization", w.row.Customization))
	// A policy with a typo is refused and nothing is different.
	err = firewalld.ChangeTenant(w.dir, w.root, w.admin.tenant, func(t *firewalld.Tenant) error {
		t.Policies, t.KeyDisabled = []authz.Source{{Name: "typo", Text: `permit(principal, action == Cloister::Action::"GetRetreivals", resource);`}}, true
		return nil
	})
	w.refused("a typo", err, authz.ErrRejected)
	w.must(w.own(w.dev, "UpdateCustomization", w.row.Customization))
	// One that names the other tenant passes the check of texts and is refused
	// where its entities are known: the old set stays.
	w.change(w.admin.tenant, func(t *firewalld.Tenant) error {
		t.Policies = []authz.Source{{Name: "foreign", Text: `permit(principal == Cloister::User::"` + w.other.key.User.String() + `", action, resource);`}}
		return nil
	})
	w.must(w.own(w.dev, "UpdateCustomization", w.row.Customization))
	w.change(w.admin.tenant, func(t *firewalld.Tenant) error { t.Policies = nil; return nil })
	_, err = w.own(w.dev, "UpdateCustomization", w.row.Customization)
	w.refused("after the policies were taken back", err, fas.ErrDenied)
}

func TestSettingsAreRecordedFirst(t *testing.T) {
	w := newWorld(t)
	w.serve()
	n := w.settings()
	w.must(w.own(w.dev, "GetRetrievals", w.row.Customization))
	if got := w.settings(); got != n {
		t.Errorf("%d records of settings without a change", got-n)
	}
	w.change(w.admin.tenant, func(t *firewalld.Tenant) error { t.KeyDisabled = true; return nil })
	w.rec.setFail(true)
	_, err := w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("a change that cannot be recorded", err, fas.ErrDenied)
	w.rec.setFail(false)
	_, err = w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("the change, recorded", err, fas.ErrDenied)
	if got := w.settings(); got != n+1 {
		t.Errorf("%d records of one change", got-n)
	}
}

func TestTenantFileIsSealed(t *testing.T) {
	w := newWorld(t)
	w.serve()
	path := func(p person) string { return filepath.Join(w.dir, "tenants", p.tenant.String()) }
	good, err := os.ReadFile(path(w.admin))
	w.ok(err)
	other, err := os.ReadFile(path(w.other))
	w.ok(err)
	for name, b := range map[string][]byte{"cut": good[:len(good)-1], "flipped": append([]byte{good[0] ^ 1}, good[1:]...), "another tenant's": other, "empty": {}} {
		w.ok(os.WriteFile(path(w.admin), b, 0o600))
		_, err := w.own(w.dev, "GetRetrievals", w.row.Customization)
		w.refused(name, err, fas.ErrDenied)
	}
	w.ok(os.Remove(path(w.admin)))
	_, err = w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("a tenant that is gone", err, fas.ErrDenied)
	w.ok(os.WriteFile(path(w.admin), good, 0o600))
	w.must(w.own(w.dev, "GetRetrievals", w.row.Customization))
}

func TestChangeTenantRefuses(t *testing.T) {
	dir, root := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{9}, 32))
	name, err := tenant.NewText("x", 10)
	if err != nil {
		t.Fatal(err)
	}
	id, err := firewalld.AddTenant(dir, root, name)
	if err != nil {
		t.Fatal(err)
	}
	same := func(*firewalld.Tenant) error { return nil }
	if err := firewalld.ChangeTenant(dir, root, tenant.NewID(), same); !errors.Is(err, firewalld.ErrNoTenant) {
		t.Errorf("an unknown tenant: %v", err)
	}
	if _, err := firewalld.AddUser(dir, root, tenant.NewID(), name, true); !errors.Is(err, firewalld.ErrNoTenant) {
		t.Errorf("a user of an unknown tenant: %v", err)
	}
	if err := firewalld.ChangeTenant(dir, tenant.NewSecret(bytes.Repeat([]byte{8}, 32)), id, same); err == nil {
		t.Error("another root key opens the tenant")
	}
	if err := firewalld.ChangeTenant(dir, root, id, func(*firewalld.Tenant) error { return audit.ErrUnavailable }); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("the change's own error: %v", err)
	}
	// Changes of several writers do not undo one another.
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			err := firewalld.ChangeTenant(dir, root, id, func(t *firewalld.Tenant) error {
				t.Revoked = append(t.Revoked, tenant.NewCustomizationID())
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := 0
	if err := firewalld.ChangeTenant(dir, root, id, func(t *firewalld.Tenant) error { n = len(t.Revoked); return nil }); err != nil || n != 16 {
		t.Errorf("%d of 16 changes: %v", n, err)
	}
}
