package firewalld_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// recorder keeps events, or fails.
type recorder struct {
	mu     sync.Mutex
	fail   bool
	events []audit.Event
}

func (r *recorder) Record(ctx context.Context, e audit.Event) error { return r.Append(ctx, e) }
func (r *recorder) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail {
		return audit.ErrUnavailable
	}
	r.events = append(r.events, e)
	return nil
}

func (r *recorder) setFail(f bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

var operations = []fas.Operation{
	{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}},
	{Path: "/ListCustomizations", Action: "ListCustomizations", Verbs: []fas.Verb{fas.VerbCatalogList}},
	{Path: "/UpdateCustomization", Action: "UpdateCustomization", OnCustomization: true, Mutating: true,
		Verbs: []fas.Verb{fas.VerbCatalogActivate, fas.VerbCatalogDeactivate, fas.VerbCatalogUpdate}},
	{Path: "/DeleteCustomization", Action: "DeleteCustomization", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogDelete}},
	{Path: "/AssociateCustomizationPermission", Action: "AssociateCustomizationPermission", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogShare}},
	{Path: "/GetRetrievals", Action: "GetRetrievals", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery, fas.VerbComplete}},
}

type person struct {
	tenant tenant.ID
	key    firewalld.AccessKey
}

type world struct {
	t                 *testing.T
	srv               *firewalld.Server
	rec               *recorder
	c                 *fas.Client
	admin, dev, other person
	row               fas.Row
	ticket            fas.Ticket
	n                 int
	dir               string
	root              tenant.Secret
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	root := tenant.NewSecret(bytes.Repeat([]byte{9}, 32))
	w := &world{t: t, rec: &recorder{}, dir: dir, root: root}
	var err error
	if w.srv, err = firewalld.Open(dir, root, w.rec, &firewalld.Options{Operations: operations}); err != nil {
		t.Fatal(err)
	}
	name, err := tenant.NewText("x", 10)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []*person{&w.admin, &w.dev, &w.other} {
		if i != 1 {
			if p.tenant, err = firewalld.AddTenant(dir, root, name); err != nil {
				t.Fatal(err)
			}
		} else {
			p.tenant = w.admin.tenant
		}
		if p.key, err = firewalld.AddUser(dir, root, p.tenant, name, i != 1); err != nil {
			t.Fatal(err)
		}
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.srv.Serve(ctx, unixConn(t, fds[0])) }()
	if w.c, err = fas.Dial(unixConn(t, fds[1])); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.c.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := w.srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func unixConn(t *testing.T, fd int) *net.UnixConn {
	f := os.NewFile(uintptr(fd), "pair")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}

func (w *world) evidence(p person, op, body string) fas.Evidence {
	w.t.Helper()
	w.n++
	if body == "" {
		body = fmt.Sprintf(`{"nonce":%d}`, w.n)
	}
	r, err := http.NewRequest(http.MethodPost, "http://service.local/"+op, bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	err = sigv4.SignRequest(r, []byte(body), sigv4.Credentials{AccessKeyID: p.key.AccessKeyID, Secret: tenant.NewSecret([]byte(p.key.SecretAccessKey)),
		Region: "us-east-1", Service: "codewhisperer"}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	r.RequestURI, r.Host = "/"+op, "service.local"
	ev, b, err := sigv4.Capture(r, 1<<20)
	if err == nil {
		ev, err = ev.WithBody(b)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := fas.SigV4Evidence(ev)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) own(p person, op string, id tenant.CustomizationID) (*fas.Session, error) {
	return w.c.AssumeOwn(context.Background(), w.evidence(p, op, ""), fas.Request{RequestID: tenant.NewRequestID(), Customization: id})
}

func (w *world) must(s *fas.Session, err error) *fas.Session {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create() {
	w.t.Helper()
	s := w.must(w.own(w.admin, "CreateCustomization", tenant.CustomizationID{}))
	var err error
	w.row, w.ticket, err = w.c.Catalog(s).Create(context.Background(), fas.CreateInput{})
	w.ok(err)
}

// serve takes the customization to the state in which the developer may use it.
func (w *world) serve() {
	w.t.Helper()
	ctx := context.Background()
	w.create()
	w.ok(w.c.Register(ctx, w.ticket, [32]byte{1}))
	w.ok(w.c.Finish(ctx, w.ticket, 5))
	w.ok(w.c.Catalog(w.must(w.own(w.admin, "UpdateCustomization", w.row.Customization))).Activate(ctx, w.row.Customization, 0))
	w.ok(w.c.Catalog(w.must(w.own(w.admin, "AssociateCustomizationPermission", w.row.Customization))).Share(ctx, w.row.Customization, w.dev.key.User))
}

func (w *world) refused(name string, err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Errorf("%s: got %v, want %v", name, err, want)
	}
}

func TestOwnSession(t *testing.T) {
	w := newWorld(t)
	w.serve()
	s := w.must(w.own(w.dev, "GetRetrievals", w.row.Customization))
	if s.Manifest() != [32]byte{1} || s.Customization() != w.row.Customization || s.Collection().IsZero() {
		t.Error("the session is not on the active snapshot")
	}
	w.ok(s.WithKey(fas.VerbQuery, func(k []byte) error {
		if len(k) != 32 {
			return errors.New("no key")
		}
		return nil
	}))
	w.refused("a verb not listed", s.WithKey(fas.VerbIndex, func([]byte) error { return nil }), fas.ErrVerb)
	_, err := s.Credentials()
	w.refused("bucket credentials", err, fas.ErrVerb)
	w.ok(s.Close())
	w.refused("after close", s.WithKey(fas.VerbQuery, func([]byte) error { return nil }), fas.ErrClosed)
	var made fas.Session
	w.refused("a made-up session", made.WithKey(fas.VerbQuery, func([]byte) error { return nil }), fas.ErrClosed)
}

func TestForeignAndMissingAreOneError(t *testing.T) {
	w := newWorld(t)
	w.serve()
	var texts []string
	for _, c := range []struct {
		who person
		id  tenant.CustomizationID
	}{{w.other, w.row.Customization}, {w.other, tenant.NewCustomizationID()}, {w.admin, w.row.Customization}} {
		_, err := w.own(c.who, "GetRetrievals", c.id)
		w.refused("use", err, fas.ErrDenied)
		texts = append(texts, err.Error())
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("the refusals differ: %q", texts)
	}
}

func TestReplay(t *testing.T) {
	w := newWorld(t)
	w.serve()
	ctx := context.Background()
	req := fas.Request{RequestID: tenant.NewRequestID()}
	ev := w.evidence(w.admin, "CreateCustomization", "")
	w.must(w.c.AssumeOwn(ctx, ev, req))
	_, err := w.c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	w.refused("a mutating call again", err, fas.ErrReplayed)
	read := w.evidence(w.admin, "ListCustomizations", "")
	w.must(w.c.AssumeOwn(ctx, read, req))
	w.must(w.c.AssumeOwn(ctx, read, req)) // within the window
}

func TestAuditFailureRefuses(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.rec.setFail(true)
	_, err := w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("with a failing log", err, fas.ErrAudit)
	w.rec.setFail(false)
	w.must(w.own(w.dev, "GetRetrievals", w.row.Customization))
}

func TestCatalogSessions(t *testing.T) {
	w := newWorld(t)
	w.serve()
	ctx := context.Background()
	list := w.must(w.own(w.admin, "ListCustomizations", tenant.CustomizationID{}))
	w.refused("activate with a list session", w.c.Catalog(list).Activate(ctx, w.row.Customization, 0), fas.ErrVerb)
	_, _, err := w.c.Catalog(list).Create(ctx, fas.CreateInput{})
	w.refused("create with a list session", err, fas.ErrVerb)
	up := w.must(w.own(w.admin, "UpdateCustomization", w.row.Customization))
	w.refused("another target", w.c.Catalog(up).Activate(ctx, tenant.NewCustomizationID(), 0), fas.ErrDenied)
	_, err = w.own(w.dev, "DeleteCustomization", w.row.Customization)
	w.refused("a developer deletes", err, fas.ErrDenied)
	del := w.must(w.own(w.admin, "DeleteCustomization", w.row.Customization))
	_, err = w.c.Catalog(del).Delete(ctx, w.row.Customization)
	w.refused("delete while active", err, fas.ErrConflict)
	rows, err := w.c.Catalog(list).List(ctx)
	if err != nil || len(rows) != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	rows, err = w.c.Catalog(w.must(w.own(w.other, "ListCustomizations", tenant.CustomizationID{}))).List(ctx)
	if err != nil || len(rows) != 0 {
		t.Errorf("the other tenant sees %v, %v", rows, err)
	}
}

func TestDeleteLeavesNoGrant(t *testing.T) {
	w := newWorld(t)
	w.serve()
	ctx := context.Background()
	if w.srv.Grants() != 1 {
		t.Fatalf("%d grants", w.srv.Grants())
	}
	w.ok(w.c.Catalog(w.must(w.own(w.admin, "UpdateCustomization", w.row.Customization))).Deactivate(ctx, w.row.Customization))
	ticket, err := w.c.Catalog(w.must(w.own(w.admin, "DeleteCustomization", w.row.Customization))).Delete(ctx, w.row.Customization)
	w.ok(err)
	_, err = w.own(w.dev, "GetRetrievals", w.row.Customization)
	w.refused("use after deletion", err, fas.ErrDenied)
	w.refused("the old ticket ends the deletion", w.c.Removed(ctx, w.ticket), fas.ErrTicket)
	w.ok(w.c.Removed(ctx, ticket))
	if w.srv.Grants() != 0 {
		t.Errorf("%d grants are left", w.srv.Grants())
	}
}

func TestTickets(t *testing.T) {
	w := newWorld(t)
	w.create()
	ctx := context.Background()
	redeem := func(t fas.Ticket, v fas.Verb) error {
		s, err := w.c.Redeem(ctx, t, v)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	for _, v := range []fas.Verb{fas.VerbQuery, fas.VerbComplete, fas.VerbBucketRead, fas.VerbCatalogDelete, "", fas.VerbEvaluate} {
		w.refused("redeem for "+string(v), redeem(w.ticket, v), fas.ErrTicket)
	}
	for i := range w.ticket.Sealed {
		bad := w.ticket
		bad.Sealed = bytes.Clone(bad.Sealed)
		bad.Sealed[i] ^= 1
		if err := redeem(bad, fas.VerbStage); !errors.Is(err, fas.ErrTicket) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	w.refused("an empty ticket", redeem(fas.Ticket{}, fas.VerbStage), fas.ErrTicket)
	w.refused("finish before register", w.c.Finish(ctx, w.ticket, 1), fas.ErrConflict)
	w.refused("register nothing", w.c.Register(ctx, w.ticket, [32]byte{}), fas.ErrTicket)
	w.ok(redeem(w.ticket, fas.VerbStage))
	w.ok(redeem(w.ticket, fas.VerbIndex))
	w.ok(w.c.Register(ctx, w.ticket, [32]byte{1}))
	w.refused("another digest", w.c.Register(ctx, w.ticket, [32]byte{2}), fas.ErrConflict)
	w.refused("index after register", redeem(w.ticket, fas.VerbIndex), fas.ErrTicket)
	w.ok(redeem(w.ticket, fas.VerbEvaluate))
	w.ok(w.c.Abandon(ctx, w.ticket, "test"))
	w.refused("after the end", redeem(w.ticket, fas.VerbEvaluate), fas.ErrTicket)
	if w.srv.Grants() != 0 {
		t.Errorf("%d grants are left", w.srv.Grants())
	}
}

func TestWorkerConnection(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.create()
	first := w.ticket
	w.create()
	f, err := w.c.Attach(ctx)
	w.ok(err)
	defer f.Close()
	nc, err := net.FileConn(f)
	w.ok(err)
	c, err := fas.DialWorker(nc.(*net.UnixConn))
	w.ok(err)
	defer c.Close()
	w.refused("abandon", c.Abandon(ctx, first, "x"), fas.ErrRole)
	w.refused("register", c.Register(ctx, first, [32]byte{1}), fas.ErrRole)
	_, err = c.AssumeOwn(ctx, w.evidence(w.admin, "ListCustomizations", ""), fas.Request{RequestID: tenant.NewRequestID()})
	w.refused("assume-own", err, fas.ErrRole)
	s, err := c.Redeem(ctx, first, fas.VerbStage)
	w.ok(err)
	w.ok(s.Close())
	_, err = c.Redeem(ctx, w.ticket, fas.VerbStage)
	w.refused("a second ticket", err, fas.ErrTicket)
}

func TestOpenRefuses(t *testing.T) {
	root := tenant.NewSecret(make([]byte, 32))
	for name, f := range map[string]func(dir string) (*firewalld.Server, error){
		"no recorder": func(d string) (*firewalld.Server, error) {
			return firewalld.Open(d, root, nil, &firewalld.Options{Operations: operations})
		},
		"no operations": func(d string) (*firewalld.Server, error) {
			return firewalld.Open(d, root, &recorder{}, &firewalld.Options{})
		},
		"no options": func(d string) (*firewalld.Server, error) { return firewalld.Open(d, root, &recorder{}, nil) },
		"no root key": func(d string) (*firewalld.Server, error) {
			return firewalld.Open(d, tenant.Secret{}, &recorder{}, &firewalld.Options{Operations: operations})
		},
		"short root key": func(d string) (*firewalld.Server, error) {
			return firewalld.Open(d, tenant.NewSecret(make([]byte, 16)), &recorder{}, &firewalld.Options{Operations: operations})
		},
	} {
		if s, err := f(t.TempDir()); err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
		}
	}
}
