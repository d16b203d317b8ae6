//go:build unix

package retrieval_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
	"github.com/cloisterdev/cloister/tenant"
)

var operations = []fas.Operation{
	{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}},
	{Path: "/UpdateCustomization", Action: "UpdateCustomization", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogActivate}},
	{Path: "/AssociateCustomizationPermission", Action: "AssociateCustomizationPermission", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogShare}},
	{Path: "/GetRetrievals", Action: "GetRetrievals", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery}},
	{Path: "/GenerateCompletions", Action: "GenerateCompletions", OnCustomization: true, Verbs: []fas.Verb{fas.VerbComplete}},
}

// world is a firewall in this process, and the collections.
type world struct {
	t     testing.TB
	dir   string
	root  tenant.Secret
	gate  *fas.Client
	store *embedded.Store
}

// owner is one tenant's customization and the people who may use it.
type owner struct {
	w          *world
	admin, dev firewalld.AccessKey
	id         tenant.CustomizationID
	work       *fas.Session // what sealed the snapshot
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, ctx := t.TempDir(), context.Background()
	w := &world{t: t, dir: filepath.Join(dir, "firewall"), root: tenant.NewSecret(bytes.Repeat([]byte{9}, 32))}
	log, err1 := audit.Open(filepath.Join(dir, "audit"), nil)
	store, err2 := embedded.NewStore(filepath.Join(dir, "collections"))
	must(t, err1, err2)
	wall, err := firewalld.Open(w.dir, w.root, log, &firewalld.Options{Operations: operations})
	must(t, err)
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(t, err)
	ends := [2]*net.UnixConn{}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		must(t, err, f.Close())
		ends[i] = c.(*net.UnixConn)
	}
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- wall.Serve(ctx, ends[0]) }()
	w.store = store
	w.gate, err = fas.Dial(ends[1])
	must(t, err)
	t.Cleanup(func() {
		err := w.gate.Close()
		cancel()
		if err := errors.Join(err, <-served, wall.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// owner makes a tenant with a customization of one file that is active and
// shared.
func (w *world) owner(text string) *owner {
	w.t.Helper()
	ctx := context.Background()
	id, err := firewalld.AddTenant(w.dir, w.root, tenant.Text{})
	must(w.t, err)
	o := &owner{w: w}
	o.admin, err = firewalld.AddUser(w.dir, w.root, id, tenant.Text{}, true)
	must(w.t, err)
	o.dev, err = firewalld.AddUser(w.dir, w.root, id, tenant.Text{}, false)
	must(w.t, err)
	row, ticket, err := w.gate.Catalog(o.must(o.ask(o.admin, "CreateCustomization", 0))).Create(ctx, fas.CreateInput{})
	must(w.t, err)
	o.id = row.Customization
	o.work = o.must(w.gate.Redeem(ctx, ticket, fas.VerbIndex))
	var manifest [32]byte
	must(w.t, o.work.WithKey(fas.VerbIndex, func(key []byte) error {
		manifest, err = o.seal(key, text)
		return err
	}), w.gate.Register(ctx, ticket, manifest), w.gate.Finish(ctx, ticket, 1),
		w.gate.Catalog(o.must(o.ask(o.admin, "UpdateCustomization", 0))).Activate(ctx, o.id, 0),
		w.gate.Catalog(o.must(o.ask(o.admin, "AssociateCustomizationPermission", 0))).Share(ctx, o.id, o.dev.User))
	return o
}

func (o *owner) seal(key []byte, text string) (manifest [32]byte, err error) {
	b, err := retrieval.BindingOf(o.work)
	if err != nil {
		return manifest, err
	}
	f, err := o.w.store.Create(b)
	if err != nil {
		return manifest, err
	}
	defer f.Close()
	wr, err := embedded.Create(f, b, key, nil)
	if err != nil {
		return manifest, err
	}
	if err := wr.Add(context.Background(), doc("a.go", text)); err != nil {
		return manifest, err
	}
	manifest, _, err = wr.Seal(context.Background())
	return manifest, err
}

// ask signs one call and returns the session that the firewall gives for it.
func (o *owner) ask(who firewalld.AccessKey, operation string, ttl time.Duration) (*fas.Session, error) {
	body := fmt.Appendf(nil, `{"nonce":%q}`, rand.Text())
	r, err := http.NewRequest(http.MethodPost, "http://service.local/"+operation, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	key := sigv4.Credentials{AccessKeyID: who.AccessKeyID, Secret: tenant.NewSecret([]byte(who.SecretAccessKey)), Region: "us-east-1", Service: "codewhisperer"}
	if err := sigv4.SignRequest(r, body, key, time.Now()); err != nil {
		return nil, err
	}
	r.RequestURI = r.URL.Path
	signed, _, err := sigv4.Capture(r, 1<<16)
	if err != nil {
		return nil, err
	}
	ev, err := fas.SigV4Evidence(signed)
	if err != nil {
		return nil, err
	}
	req := fas.Request{RequestID: tenant.NewRequestID(), TTL: ttl}
	if operation != "CreateCustomization" {
		req.Customization = o.id
	}
	return o.w.gate.AssumeOwn(context.Background(), ev, req)
}

func (o *owner) must(s *fas.Session, err error) *fas.Session {
	o.w.t.Helper()
	must(o.w.t, err)
	return s
}

// session is one that searches.
func (o *owner) session() *fas.Session {
	o.w.t.Helper()
	return o.must(o.ask(o.dev, "GetRetrievals", 0))
}
