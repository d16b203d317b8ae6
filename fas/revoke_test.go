package fas_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// What is revoked is refused at every use: the session on the catalog, the
// signed call, all that a tenant signed before, the ticket of its ingestion.
func TestRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	list := func() (*fas.Session, fas.Evidence) {
		ev := w.evidence("ListCustomizations", time.Now())
		s, err := w.c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
		w.ok(err)
		_, err = w.c.Catalog(s).List(ctx)
		w.ok(err)
		return s, ev
	}
	one, _ := list()
	other, ev := list()
	w.ok(w.srv.Revoke(ctx, fas.Revocation{Session: one.ID()}))
	_, err := w.c.Catalog(one).List(ctx)
	w.refused("a revoked session", err, fas.ErrRevoked)
	_, err = w.c.Catalog(other).List(ctx)
	w.ok(err)

	w.ok(w.srv.Revoke(ctx, fas.Revocation{Evidence: ev.Claim().Digest}))
	_, err = w.c.Catalog(other).List(ctx)
	w.refused("a session of a revoked call", err, fas.ErrRevoked)
	_, err = w.c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	w.refused("a revoked call", err, fas.ErrRevoked)
	third, _ := list()

	_, ticket := w.create()
	_, mine := w.create()
	s, err := w.c.Redeem(ctx, mine, fas.VerbStage)
	w.ok(errors.Join(err, s.Close()))
	stranger := w.another("other")
	foreign := w.by(stranger, "ListCustomizations", []byte(`{}`), time.Now())
	before := w.evidence("ListCustomizations", time.Now())
	w.ok(w.srv.Revoke(ctx, fas.Revocation{Tenant: w.tenant}))
	_, err = w.c.Catalog(third).List(ctx)
	w.refused("a session of before the epoch", err, fas.ErrRevoked)
	_, err = w.c.AssumeOwn(ctx, before, fas.Request{RequestID: tenant.NewRequestID()})
	w.refused("a call of before the epoch", err, fas.ErrRevoked)
	_, err = w.c.Redeem(ctx, ticket, fas.VerbStage)
	w.refused("a ticket of before the epoch", err, fas.ErrRevoked)
	open, err := w.c.Unfinished(ctx)
	w.ok(err)
	for _, u := range open {
		_, err = w.c.Redeem(ctx, u.Ticket, fas.VerbStage)
		w.refused("a ticket made anew for what was begun before", err, fas.ErrRevoked)
	}
	_, err = w.c.AssumeOwn(ctx, foreign, fas.Request{RequestID: tenant.NewRequestID()})
	w.ok(err)
	// A clock that is half a minute ahead could have signed this before.
	_, err = w.c.AssumeOwn(ctx, w.evidence("ListCustomizations", time.Now().Add(25*time.Second)), fas.Request{RequestID: tenant.NewRequestID()})
	w.refused("a call that may be of before the epoch", err, fas.ErrRevoked)
	if n := w.rec.count(func(e audit.Event) bool { return e.Kind == "firewall.revoke" && e.Decision == audit.Allow }); n != 3 {
		t.Errorf("%d revocations are recorded", n)
	}
}

func TestRevokeRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	id, digest := tenant.NewSessionID(), sha256.Sum256(nil)
	for name, r := range map[string]fas.Revocation{
		"nothing": {}, "two things": {Session: id, Evidence: digest}, "three": {Session: id, Evidence: digest, Tenant: w.tenant}, "only a time": {At: time.Now()},
	} {
		w.refused(name, w.srv.Revoke(ctx, r), fas.ErrConflict)
	}
	// The end of a socket pair is a front end, and no operator.
	w.refused("a front end", w.c.Revoke(ctx, fas.Revocation{Tenant: w.tenant}), fas.ErrRole)
	if _, err := w.own("ListCustomizations", tenant.CustomizationID{}); err != nil {
		t.Errorf("a refused revocation counts: %v", err)
	}
}

// A revocation outlives the process.
func TestRevocationsPersist(t *testing.T) {
	t.Parallel()
	dir, root, rec := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{8}, 32)), &recorder{}
	open := func() *firewalld.Server {
		srv, err := firewalld.Open(dir, root, rec, &firewalld.Options{Operations: operations})
		if err != nil {
			t.Fatal(err)
		}
		return srv
	}
	srv := open()
	name, err1 := tenant.NewText("acme", 10)
	id, err2 := firewalld.AddTenant(dir, root, name)
	key, err3 := firewalld.AddUser(dir, root, id, name, true)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, srv: srv, key: key}
	ev := w.evidence("ListCustomizations", time.Now())
	ask := func() error {
		_, err := srv.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID()})
		return err
	}
	w.ok(ask())
	w.ok(srv.Revoke(context.Background(), fas.Revocation{Evidence: ev.Claim().Digest}))
	w.refused("at once", ask(), fas.ErrRevoked)
	w.ok(srv.Close())
	srv = open()
	defer srv.Close()
	w.refused("after a restart", ask(), fas.ErrRevoked)
	ev = w.evidence("ListCustomizations", time.Now())
	w.ok(ask())
}
