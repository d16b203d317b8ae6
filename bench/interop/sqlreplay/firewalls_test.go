package sqlreplay

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/fas/sqlreplay"
	"github.com/cloisterdev/cloister/tenant"
)

type silent struct{}

func (silent) Record(context.Context, audit.Event) error { return nil }
func (silent) Append(context.Context, audit.Event) error { return nil }

// one is a node's view of one key.
type one struct {
	id  fas.Identity
	key ed25519.PublicKey
}

func (o *one) LookupPublic(id string) (fas.Identity, ed25519.PublicKey, bool) {
	return o.id, o.key, id == "k"
}

// node is a firewall with a directory of its own.
func node(t *testing.T, key ed25519.PublicKey, store fas.ReplayStore) *firewalld.Server {
	t.Helper()
	keys := &one{key: key}
	v, err := fas.HTTPSignatureVerifier(keys, httpsig.Options{Authorities: []string{"service.local"}})
	if err != nil {
		t.Fatal(err)
	}
	dir, root := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{1}, 32))
	srv, err := firewalld.Open(dir, root, silent{}, &firewalld.Options{Replay: store,
		Operations: []fas.Operation{{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}}},
		Verifiers:  map[tenant.Method]fas.Verifier{tenant.MethodHTTPSignature: v}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	name, err := tenant.NewText("acme", 10)
	if err != nil {
		t.Fatal(err)
	}
	if keys.id.Tenant, err = firewalld.AddTenant(dir, root, name); err != nil {
		t.Fatal(err)
	}
	user, err := firewalld.AddUser(dir, root, keys.id.Tenant, name, true)
	if err != nil {
		t.Fatal(err)
	}
	keys.id.User = user.User
	return srv
}

// Two firewalls with one store: what one took, the other refuses; without the
// server both refuse; and what was signed before a firewall's start is good,
// since the store knows what was used then.
func TestTwoFirewalls(t *testing.T) {
	pg := throwaway(t)
	db := connect(t, pg.dsn())
	name := table(t, db)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(at time.Time) fas.Evidence {
		r, err := http.NewRequest(http.MethodPost, "http://service.local/CreateCustomization", nil)
		if err == nil {
			err = httpsig.SignRequest(r, nil, httpsig.Key{ID: "k", Private: private}, at)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.RequestURI = "/CreateCustomization"
		captured, _, err := httpsig.Capture(r, 10)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := fas.HTTPSignatureEvidence(captured)
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	own := func(f *firewalld.Server, ev fas.Evidence) error {
		s, err := f.AssumeOwn(t.Context(), ev, fas.Request{RequestID: tenant.NewRequestID()})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	want := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	before := signed(time.Now().Add(-2 * time.Second))
	east := node(t, public, open(t, db, sqlreplay.Options{Table: name}))
	west := node(t, public, open(t, connect(t, pg.dsn()), sqlreplay.Options{Table: name}))
	alone := node(t, public, nil)
	ev := signed(time.Now().Add(time.Second))
	want("at the first", own(east, ev), nil)
	want("at the second", own(west, ev), fas.ErrReplayed)
	want("at the first again", own(east, ev), fas.ErrReplayed)
	want("at one that shares nothing", own(alone, ev), nil)
	want("signed before the start, with a store that remembers", own(west, before), nil)
	want("signed before the start, with one that does not", own(alone, before), fas.ErrDenied)
	pg.kill()
	for _, f := range []*firewalld.Server{east, west} {
		if err := own(f, signed(time.Now().Add(time.Second))); err == nil {
			t.Error("a firewall takes evidence that nobody will remember")
		} else {
			t.Log("without the server:", err)
		}
	}
	pg.start()
	restarted := node(t, public, open(t, db, sqlreplay.Options{Table: name}))
	want("after restarts of both", own(restarted, ev), fas.ErrReplayed)
	want("a new one after restarts", own(restarted, signed(time.Now().Add(time.Second))), nil)
}
