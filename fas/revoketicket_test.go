package fas_test

import (
	"context"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// A revocation reaches the version that the call began, at every step; only to
// give it up is still allowed.
func TestRevokedWork(t *testing.T) {
	t.Parallel()
	for name, revoke := range map[string]func(w *world, ev fas.Evidence) fas.Revocation{
		"the tenant": func(w *world, _ fas.Evidence) fas.Revocation { return fas.Revocation{Tenant: w.tenant} },
		"the call":   func(_ *world, ev fas.Evidence) fas.Revocation { return fas.Revocation{Evidence: ev.Claim().Digest} },
	} {
		w := newWorld(t)
		ctx := context.Background()
		ev := w.evidence("CreateCustomization", time.Now())
		s, err := w.c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
		w.ok(err)
		_, early, err := w.c.Catalog(s).Create(ctx, fas.CreateInput{})
		w.ok(err)
		_, registered, err := w.c.Catalog(s).Create(ctx, fas.CreateInput{})
		w.ok(err)
		_, other := w.create()
		w.ok(w.c.Register(ctx, registered, [32]byte{1}))
		w.ok(w.srv.Revoke(ctx, revoke(w, ev)))
		_, err = w.c.Redeem(ctx, early, fas.VerbStage)
		w.refused(name+", redeem", err, fas.ErrRevoked)
		w.refused(name+", register", w.c.Register(ctx, early, [32]byte{1}), fas.ErrRevoked)
		w.refused(name+", finish", w.c.Finish(ctx, registered, 1), fas.ErrRevoked)
		w.ok(w.c.Abandon(ctx, early, "x"))
		if _, err = w.c.Redeem(ctx, other, fas.VerbStage); (err == nil) != (name == "the call") {
			t.Errorf("%s, the work of another call: %v", name, err)
		}
	}
}

// What a tenant had in hand when it was revoked is over, also where its clock is
// ahead; what it signs later than any clock could have is good.
func TestRevokedTenantWhoseClockIsAhead(t *testing.T) {
	t.Parallel()
	v := &stub{}
	w := newWorldWith(t, func(o *firewalld.Options) { o.Verifiers = map[tenant.Method]fas.Verifier{"stub": v} })
	ctx := context.Background()
	ask := func(at time.Time, ahead time.Duration) (*fas.Session, error) {
		v.mu.Lock()
		v.id, v.claim = fas.Identity{Tenant: w.tenant, User: w.key.User}, someClaim()
		v.claim.Time, v.claim.Ahead, v.claim.Once[31] = at, ahead, byte(w.n.Add(1))
		v.mu.Unlock()
		ev, err := fas.NewEvidence("stub", []byte("good"), someClaim())
		w.ok(err)
		return w.c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	}
	s, err := ask(time.Now().Add(20*time.Second), 0)
	w.ok(err)
	_, err = w.c.Catalog(s).List(ctx)
	w.ok(err)
	w.ok(w.srv.Revoke(ctx, fas.Revocation{Tenant: w.tenant}))
	_, err = w.c.Catalog(s).List(ctx)
	w.refused("a session of before", err, fas.ErrRevoked)
	_, err = ask(time.Now().Add(20*time.Second), 0)
	w.refused("a call that a clock ahead may have signed before", err, fas.ErrRevoked)
	_, err = ask(time.Now().Add(20*time.Second), time.Minute)
	w.refused("the same, in a scheme that lets clocks be further ahead", err, fas.ErrRevoked)
	_, err = ask(time.Now(), -time.Second)
	w.refused("a claim that cannot be", err, fas.ErrDenied)
	s, err = ask(time.Now(), time.Nanosecond)
	w.ok(err)
	_, err = w.c.Catalog(s).List(ctx)
	w.ok(err)
	_, err = ask(time.Now().Add(40*time.Second), 0)
	w.ok(err)
}

// A disabled key is heard by the very next answer, also by one that was given
// before; so is another version.
func TestLostAnswersAreDecidedAgain(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) {
		o.Operations = append([]fas.Operation(nil), operations...)
		o.Operations[4].Mutating = true // GetRetrievals, good once
	})
	ctx := context.Background()
	row := w.active()
	ask := func(ev fas.Evidence, req fas.Request) (*fas.Session, error) { return w.c.AssumeOwn(ctx, ev, req) }
	ev, req := w.evidence("GetRetrievals", time.Now()), fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization}
	first, err := ask(ev, req)
	w.ok(err)
	again, err := ask(ev, req)
	w.ok(err)
	same := func(s *fas.Session) (key [32]byte) {
		w.ok(s.WithKey(fas.VerbQuery, func(b []byte) error { key = [32]byte(b); return nil }))
		return key
	}
	if again.ID() != first.ID() || !again.Expires().Equal(first.Expires()) || same(again) != same(first) {
		t.Error("control: another session")
	}
	disable := func(off bool) {
		w.ok(firewalld.ChangeTenant(w.dir, w.root, w.tenant, func(t *firewalld.Tenant) error { t.KeyDisabled = off; return nil }))
	}
	disable(true)
	_, err = ask(ev, req)
	w.refused("the key is disabled since", err, fas.ErrDenied)
	disable(false)
	_, err = ask(ev, req)
	w.ok(err)
}
