package fas_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// A call of a clock that is ahead is good once, also where the process that saw
// it is over before the time that it says. Callers whose clocks are right are
// served by the next process at once.
func TestClocksAheadAcrossRestarts(t *testing.T) {
	t.Parallel()
	dir, root, rec := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{8}, 32)), &recorder{}
	w := &world{t: t, dir: dir, root: root, rec: rec}
	open := func() {
		srv, err := firewalld.Open(dir, root, rec, &firewalld.Options{Operations: operations})
		w.ok(err)
		w.srv = srv
	}
	open()
	w.key = w.another("acme")
	right, reader := w.another("globex"), w.another("initech")
	ask := func(ev fas.Evidence) error {
		_, err := w.srv.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID()})
		return err
	}
	ahead := w.evidence("CreateCustomization", time.Now().Add(25*time.Second))
	nearer := w.evidence("CreateCustomization", time.Now().Add(20*time.Second))
	late := w.by(right, "CreateCustomization", []byte(`{"n":1}`), time.Now())
	read := w.by(reader, "ListCustomizations", []byte(`{"n":1}`), time.Now().Add(25*time.Second))
	w.ok(ask(ahead))
	w.ok(ask(nearer))
	w.ok(ask(late))
	w.ok(ask(read))
	for range 2 { // and across the one after
		w.ok(w.srv.Close())
		open()
		for name, ev := range map[string]fas.Evidence{"ahead": ahead, "ahead, and nearer": nearer, "of the second before": late, "a read ahead": read} {
			w.refused(name, ask(ev), fas.ErrDenied)
		}
		if got := rec.reasons(); len(got) < 4 || got[len(got)-1] != "before-start" {
			t.Errorf("recorded: %v", got)
		}
		w.ok(ask(w.by(right, "CreateCustomization", []byte(`{"n":"`+tenant.NewRequestID().String()+`"}`), time.Now())))
		w.ok(ask(w.by(right, "ListCustomizations", []byte(`{"n":"`+tenant.NewRequestID().String()+`"}`), time.Now())))
	}
	w.ok(w.srv.Close())
}

// forgetful are horizons that are not kept.
type forgetful struct{ err error }

func (f forgetful) Horizons(context.Context) (map[tenant.UserID]time.Time, error) { return nil, nil }
func (f forgetful) Extend(context.Context, tenant.UserID, time.Time) error        { return f.err }

// Where nobody keeps that evidence dated ahead was used, it is refused, and so is
// that of the second in which a process before may have been.
func TestClocksAheadWithoutHorizons(t *testing.T) {
	t.Parallel()
	schema, err := authz.ParseSchema("cloister", []byte(authz.DefaultSchema))
	if err != nil {
		t.Fatal(err)
	}
	who := fas.Identity{Tenant: tenant.NewID(), User: tenant.NewUserID()}
	for name, c := range map[string]struct {
		horizons fas.Horizons
		lasts    bool // the store of what was used
		at       time.Duration
		want     error
	}{
		"a read, and nobody keeps it":          {nil, false, 11 * time.Second, fas.ErrReplayed},
		"a read that is answered again anyway": {nil, false, 2 * time.Second, nil},
		"nobody keeps it":                      {nil, false, 10 * time.Second, fas.ErrReplayed},
		"it could not be kept":                 {forgetful{errors.New("disk full")}, false, 10 * time.Second, fas.ErrReplayed},
		"the second of the start":              {nil, false, 0, fas.ErrDenied},
		"the same, and nobody was there":       {forgetful{}, false, 0, nil},
		"dated ahead, and it is kept":          {forgetful{}, false, 10 * time.Second, nil},
		"dated ahead, in a store that lasts":   {nil, true, 10 * time.Second, nil},
		"of now, in a store that lasts":        {nil, true, 0, nil},
		"before the start, in one that lasts":  {nil, true, -10 * time.Second, nil},
		"before the start, in one of a moment": {forgetful{}, false, -10 * time.Second, fas.ErrDenied},
	} {
		conf, v := whole(t), &stub{id: who, claim: someClaim()}
		var err error
		if conf.Authorizer, err = authz.New(schema, []authz.Source{{Name: "cloister", Text: authz.DefaultPolicies}}, admins{}, &recorder{}, nil); err != nil {
			t.Fatal(err)
		}
		conf.Horizons, conf.Verifiers = c.horizons, map[tenant.Method]fas.Verifier{"stub": v}
		if c.lasts {
			m, err := fas.MemoryReplay(10)
			if err != nil {
				t.Fatal(err)
			}
			conf.Replay = lasting{m}
		}
		now := time.Now().Truncate(time.Second)
		f, err := fas.NewFirewall(conf)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == nil {
			now = time.Now().Truncate(time.Second) // of after the start, should that be another second
		}
		v.claim.Time = now.Add(c.at)
		if !strings.HasPrefix(name, "a read") {
			v.claim.Path = "/CreateCustomization"
		}
		ev, err := fas.NewEvidence("stub", []byte("good"), someClaim())
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID()})
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
}

// admins knows everybody, as an administrator.
type admins struct{ authz.Directory }

func (admins) User(context.Context, tenant.ID, tenant.UserID) (authz.UserFacts, error) {
	return authz.UserFacts{Admin: true}, nil
}

// lasting says of a store that it outlives the process.
type lasting struct{ fas.ReplayStore }

func (lasting) Durable() bool { return true }
