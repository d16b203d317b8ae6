package fas_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// Whatever is refused is on record as refused, also where it was to be done and
// the row's state did not allow it.
func TestEveryRefusalIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) {
		o.Operations = append([]fas.Operation(nil), operations...)
		o.Operations[2].Verbs = []fas.Verb{fas.VerbCatalogActivate, fas.VerbCatalogDeactivate, fas.VerbCatalogUpdate, fas.VerbCatalogDelete, fas.VerbCatalogGet}
	})
	ctx := context.Background()
	text := func(s string) tenant.Text {
		x, err := tenant.NewText(s, 1<<16)
		w.ok(err)
		return x
	}
	long := text(strings.Repeat("x", 40<<10))
	row, ticket := w.create()
	w.ok(w.c.Register(ctx, ticket, [32]byte{1}))
	_, unregistered := w.create()
	own := func(op string, id tenant.CustomizationID) *fas.Catalog {
		s, err := w.own(op, id)
		w.ok(err)
		return w.c.Catalog(s)
	}
	id := row.Customization
	for name, c := range map[string]struct {
		reason string
		do     func() error
	}{
		"another manifest":    {"state-does-not-allow", func() error { return w.c.Register(ctx, ticket, [32]byte{2}) }},
		"no manifest":         {"state-does-not-allow", func() error { return w.c.Register(ctx, unregistered, [32]byte{}) }},
		"finished too early":  {"state-does-not-allow", func() error { return w.c.Finish(ctx, unregistered, 1) }},
		"nothing to activate": {"state-does-not-allow", func() error { return own("UpdateCustomization", id).Activate(ctx, id, 7) }},
		"nothing to end":      {"state-does-not-allow", func() error { return own("UpdateCustomization", id).Deactivate(ctx, id) }},
		"an update under way": {"state-does-not-allow", func() error {
			_, _, err := own("UpdateCustomization", id).Update(ctx, id, text("s3://a/b/"))
			return err
		}},
		"too long an update":   {"too-long", func() error { _, _, err := own("UpdateCustomization", id).Update(ctx, id, long); return err }},
		"a deletion too early": {"state-does-not-allow", func() error { _, err := own("UpdateCustomization", id).Delete(ctx, id); return err }},
		"too long a name": {"too-long", func() error {
			_, _, err := own("CreateCustomization", tenant.CustomizationID{}).Create(ctx, fas.CreateInput{Name: long})
			return err
		}},
		"too long a token": {"too-long", func() error {
			_, _, err := own("CreateCustomization", tenant.CustomizationID{}).Create(ctx, fas.CreateInput{ClientToken: strings.Repeat("t", 257)})
			return err
		}},
	} {
		denied := func(e audit.Event) bool { return e.Decision == audit.Deny && e.Reason == c.reason }
		before := w.rec.count(denied)
		if err := c.do(); err == nil {
			t.Errorf("%s: not refused", name)
		}
		if n := w.rec.count(denied); n != before+1 {
			t.Errorf("%s: %d records of %s", name, n-before, c.reason)
		}
	}
	for range fas.MaxCustomizations {
		if _, _, err := own("CreateCustomization", tenant.CustomizationID{}).Create(ctx, fas.CreateInput{}); err != nil {
			w.refused("one too many", err, fas.ErrConflict)
			break
		}
	}
	if n := w.rec.count(func(e audit.Event) bool { return e.Reason == "too-many-customizations" }); n != 1 {
		t.Errorf("%d records of one too many", n)
	}
}

// A name of any length that a row may have is recorded, in part; and of a Create
// that fails, however late, no grant is left.
func TestFailedCreatesLeaveNoGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	name, err := tenant.NewText(strings.Repeat("x", 2000), 1<<16)
	w.ok(err)
	s, err := w.own("CreateCustomization", tenant.CustomizationID{})
	w.ok(err)
	_, _, err = w.c.Catalog(s).Create(ctx, fas.CreateInput{Name: name})
	w.ok(err)
	if n := w.rec.count(func(e audit.Event) bool {
		return strings.Contains(e.Detail["name"], "xxx") && len(e.Detail["name"]) < 1000
	}); n != 1 {
		t.Errorf("%d records of the name", n)
	}
	if n := w.srv.Grants(); n != 1 {
		t.Fatalf("control: %d grants", n)
	}
	w.rec.refuse(func(e audit.Event) error {
		if e.Kind == "catalog.create" {
			return errors.New("disk full")
		}
		return nil
	})
	for range 3 {
		s, err := w.own("CreateCustomization", tenant.CustomizationID{})
		w.ok(err)
		_, _, err = w.c.Catalog(s).Create(ctx, fas.CreateInput{})
		w.refused("a create that cannot be recorded", err, fas.ErrAudit)
	}
	if n := w.srv.Grants(); n != 1 {
		t.Errorf("%d grants of one customization", n)
	}
}

// What is counted says how many there were, and nothing of one of them.
func TestCountsBlameNobody(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) { o.Limits = fas.Limits{Rate: 1e-6, Burst: 1} })
	ctx := context.Background()
	name, err := tenant.NewText("second", 10)
	w.ok(err)
	second, err := firewalld.AddUser(w.dir, w.root, w.tenant, name, true)
	w.ok(err)
	ask := func(key firewalld.AccessKey, n int) error {
		_, err := w.srv.AssumeOwn(ctx, w.by(key, "ListCustomizations", []byte{byte(n)}, time.Now()), fas.Request{RequestID: tenant.NewRequestID()})
		return err
	}
	w.ok(ask(w.key, 0))
	w.refused("the first", ask(w.key, 1), fas.ErrLimited)
	for n := range 50 {
		w.refused("more", ask(second, n), fas.ErrLimited)
	}
	var counted []audit.Event
	for end := time.Now().Add(patience); len(counted) == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		w.rec.count(func(e audit.Event) bool {
			if e.Kind == "firewall.refusals" {
				counted = append(counted, e)
			}
			return false
		})
	}
	if len(counted) != 1 {
		t.Fatalf("%d records", len(counted))
	}
	e := counted[0]
	if e.Detail["count"] != "50" || e.Tenant != w.tenant || !e.User.IsZero() || !e.Request.IsZero() || e.Evidence != [32]byte{} || len(e.Detail) != 1 {
		t.Errorf("%+v", e)
	}
}

// A front end's reports are recorded, and a flood of them is counted; a reason
// that is none does not lose the record.
func TestReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	reported := func(e audit.Event) bool { return e.Kind == "frontend.refused" }
	for range 5000 {
		w.ok(w.srv.Report(ctx, fas.Refusal{Request: tenant.NewRequestID(), Reason: "not-json"}))
	}
	if n := w.rec.count(reported); n < 2000 || n > 4000 {
		t.Errorf("%d records of 5000 reports", n)
	}
	w = newWorld(t)
	w.ok(w.c.Report(ctx, fas.Refusal{Request: tenant.NewRequestID(), Reason: "Not a code\n"}))
	if n := w.rec.count(func(e audit.Event) bool { return reported(e) && e.Reason == "malformed-reason" }); n != 1 {
		t.Errorf("%d records", n)
	}
	w.rec.refuse(func(audit.Event) error { return errors.New("disk full") })
	w.refused("a report that cannot be recorded", w.c.Report(ctx, fas.Refusal{Request: tenant.NewRequestID(), Reason: "x"}), fas.ErrAudit)
}
