package firewalld_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

func (w *world) last() audit.Event {
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	return w.rec.events[len(w.rec.events)-1]
}

func TestReport(t *testing.T) {
	w := newWorld(t)
	w.serve()
	ctx := context.Background()
	req := tenant.NewRequestID()
	w.rec.setFail(true)
	w.refused("a failing log", w.c.Report(ctx, fas.Refusal{Request: req, Reason: "x"}), fas.ErrAudit)
	w.rec.setFail(false)
	w.ok(w.c.Report(ctx, fas.Refusal{Request: req, Customization: w.row.Customization, Reason: "snapshot-altered"}))
	if e := w.last(); e.Request != req || e.Customization != w.row.Customization || e.Reason != "snapshot-altered" ||
		e.Kind != "frontend.refused" || e.Decision != audit.Deny || !e.Tenant.IsZero() {
		t.Errorf("%+v", e)
	}
}

// What the firewall refuses stands in the log with its reason.
func TestRefusalsAreRecorded(t *testing.T) {
	w := newWorld(t)
	w.serve()
	ctx := context.Background()
	list := w.must(w.own(w.admin, "ListCustomizations", tenant.CustomizationID{}))
	up := w.must(w.own(w.admin, "UpdateCustomization", w.row.Customization))
	for reason, try := range map[string]func() error{
		"not-a-verb-of-the-session": func() error { return w.c.Catalog(list).Activate(ctx, w.row.Customization, 0) },
		"wrong-target":              func() error { return w.c.Catalog(up).Activate(ctx, tenant.NewCustomizationID(), 0) },
	} {
		if err := try(); err == nil || errors.Is(err, fas.ErrInternal) {
			t.Fatalf("%s: %v", reason, err)
		}
		if e := w.last(); e.Decision != audit.Deny || e.Reason != reason || e.Tenant != w.admin.tenant || e.User != w.admin.key.User {
			t.Errorf("%s: %+v", reason, e)
		}
	}
}
