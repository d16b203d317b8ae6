//go:build unix

package gpuinfer_test

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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
	"github.com/cloisterdev/cloister/tenant"
)

var operations = []fas.Operation{
	{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}},
	{Path: "/UpdateCustomization", Action: "UpdateCustomization", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogActivate}},
	{Path: "/AssociateCustomizationPermission", Action: "AssociateCustomizationPermission", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogShare}},
	{Path: "/GetRetrievals", Action: "GetRetrievals", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery}},
	{Path: "/GenerateCompletions", Action: "GenerateCompletions", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery, fas.VerbComplete}},
}

// world is a firewall in this process, the snapshots, and what slots said of
// themselves.
type world struct {
	t     testing.TB
	dir   string
	root  tenant.Secret
	gate  *fas.Client
	store *embedded.Store
	pids  string // the file to which every slot adds its process ID
}

// owner is one tenant's customization and the people who may use it.
type owner struct {
	w          *world
	admin, dev firewalld.AccessKey
	id         tenant.CustomizationID
	secret     string // what the snapshot holds
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir, ctx := t.TempDir(), context.Background()
	w := &world{t: t, dir: filepath.Join(dir, "firewall"), root: tenant.NewSecret(bytes.Repeat([]byte{9}, 32)), pids: filepath.Join(dir, "pids")}
	log, err1 := audit.Open(filepath.Join(dir, "audit"), nil)
	store, err2 := embedded.NewStore(filepath.Join(dir, "collections"))
	must(t, err1, err2, os.WriteFile(w.pids, nil, 0o600))
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

// owner makes a tenant with a customization that is active and shared. key
// seals the snapshot instead of the customization's own, where it is not nil.
func (w *world) owner(secret string, key []byte) *owner {
	w.t.Helper()
	ctx := context.Background()
	id, err := firewalld.AddTenant(w.dir, w.root, tenant.Text{})
	must(w.t, err)
	o := &owner{w: w, secret: secret}
	o.admin, err = firewalld.AddUser(w.dir, w.root, id, tenant.Text{}, true)
	must(w.t, err)
	o.dev, err = firewalld.AddUser(w.dir, w.root, id, tenant.Text{}, false)
	must(w.t, err)
	row, ticket, err := w.gate.Catalog(o.must(o.ask(o.admin, "CreateCustomization", 0))).Create(ctx, fas.CreateInput{})
	must(w.t, err)
	o.id = row.Customization
	work := o.must(w.gate.Redeem(ctx, ticket, fas.VerbIndex))
	var manifest [32]byte
	must(w.t, work.WithKey(fas.VerbIndex, func(own []byte) error {
		if key == nil {
			key = own
		}
		manifest, err = o.seal(work, key)
		return err
	}), work.Close(), w.gate.Register(ctx, ticket, manifest), w.gate.Finish(ctx, ticket, 1),
		w.gate.Catalog(o.must(o.ask(o.admin, "UpdateCustomization", 0))).Activate(ctx, o.id, 0),
		w.gate.Catalog(o.must(o.ask(o.admin, "AssociateCustomizationPermission", 0))).Share(ctx, o.id, o.dev.User))
	return o
}

func (o *owner) seal(s *fas.Session, key []byte) (manifest [32]byte, err error) {
	b, err := retrieval.BindingOf(s)
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
	if err := wr.Add(context.Background(), retrieval.Document{Path: "a.go", Text: []byte("package a\n")}); err != nil {
		return manifest, err
	}
	if err := wr.Attach("secret", []byte(o.secret)); err != nil {
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

// session is one that lists completion.
func (o *owner) session() *fas.Session {
	o.w.t.Helper()
	return o.must(o.ask(o.dev, "GenerateCompletions", 0))
}

// Snapshot implements gpuinfer.Source.
func (w *world) Snapshot(_ context.Context, s *fas.Session) (*os.File, error) {
	b, err := retrieval.BindingOf(s)
	if err != nil {
		return nil, err
	}
	return os.Open(w.store.Path(b))
}

// pool makes a pool of so many slots without cores of their own.
func (w *world) pool(slots int, change func(*gpuinfer.Config)) *gpuinfer.Pool {
	w.t.Helper()
	c := gpuinfer.Config{Partitions: make([]gpuinfer.Partition, slots), Command: w.command("good"), Source: w, Wait: 20 * time.Second}
	if change != nil {
		change(&c)
	}
	p, err := gpuinfer.NewPool(c)
	must(w.t, err)
	w.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			w.t.Error(err)
		}
		w.noneLeft("the pool is closed")
	})
	return p
}

func (w *world) command(mode string) []string {
	return []string{os.Args[0], "slot", mode, w.pids}
}

// started lists the processes that ever were a slot.
func (w *world) started() (out []int) {
	b, err := os.ReadFile(w.pids)
	must(w.t, err)
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		must(w.t, err)
		out = append(out, pid)
	}
	return out
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func (w *world) noneLeft(when string) {
	w.t.Helper()
	for _, pid := range w.started() {
		if alive(pid) {
			w.t.Errorf("%s, and a slot's process lives", when)
		}
	}
}

// ends waits until a process is no more.
func ends(t testing.TB, pid int) {
	t.Helper()
	for range 1000 {
		if !alive(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the process does not end")
}

func (w *world) lease(p *gpuinfer.Pool, o *owner) *gpuinfer.Lease {
	w.t.Helper()
	l, err := p.Acquire(context.Background(), o.session())
	must(w.t, err)
	return l
}

// say asks a lease for one completion.
func say(ctx context.Context, l *gpuinfer.Lease, prefix string, chunks ...gpuinfer.Chunk) (string, error) {
	return complete(ctx, l, gpuinfer.Prompt{Prefix: prefix, Chunks: chunks})
}

func complete(ctx context.Context, l *gpuinfer.Lease, p gpuinfer.Prompt) (string, error) {
	var out strings.Builder
	for tok, err := range l.Complete(ctx, p) {
		if err != nil {
			return out.String(), err
		}
		out.WriteString(tok.Text)
	}
	return out.String(), nil
}

// serves says that the lease works, from the owner's own snapshot.
func (o *owner) serves(l *gpuinfer.Lease) {
	o.w.t.Helper()
	if got, err := say(context.Background(), l, "secret"); err != nil || got != o.secret {
		o.w.t.Errorf("%q, %v", got, err)
	}
}

func refused(t testing.TB, name string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, not %v", name, err, want)
	}
}
