package fas_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// patience is how long a test waits before it says that something hangs.
const patience = 20 * time.Second

var operations = []fas.Operation{
	{Path: "/CreateCustomization", Action: "CreateCustomization", Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogCreate}},
	{Path: "/ListCustomizations", Action: "ListCustomizations", Verbs: []fas.Verb{fas.VerbCatalogList}},
	{Path: "/UpdateCustomization", Action: "UpdateCustomization", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogActivate}},
	{Path: "/AssociateCustomizationPermission", Action: "AssociateCustomizationPermission", OnCustomization: true, Mutating: true, Verbs: []fas.Verb{fas.VerbCatalogShare}},
	{Path: "/GetRetrievals", Action: "GetRetrievals", OnCustomization: true, Verbs: []fas.Verb{fas.VerbQuery}},
}

// recorder keeps what the firewall records.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
	fail   func(audit.Event) error
}

// refuse makes what is recorded from now on fail where f says so.
func (r *recorder) refuse(f func(audit.Event) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

func (r *recorder) Record(ctx context.Context, e audit.Event) error { return r.Append(ctx, e) }
func (r *recorder) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		if err := r.fail(e); err != nil {
			return err
		}
	}
	r.events = append(r.events, e)
	return nil
}

// count returns how many events are of a kind.
func (r *recorder) count(is func(audit.Event) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if is(e) {
			n++
		}
	}
	return n
}

func (r *recorder) reasons() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Decision == audit.Deny {
			out = append(out, e.Reason)
		}
	}
	return out
}

// world is a real firewall with one tenant, an administrator and a client.
type world struct {
	t      testing.TB
	dir    string
	root   tenant.Secret
	srv    *firewalld.Server
	rec    *recorder
	ctx    context.Context
	tenant tenant.ID
	key    firewalld.AccessKey
	c      *fas.Client
	n      atomic.Int64
}

func newWorld(t testing.TB) *world { return newWorldWith(t, nil) }

func newWorldWith(t testing.TB, change func(*firewalld.Options)) *world {
	t.Helper()
	opts := &firewalld.Options{Operations: operations}
	if change != nil {
		change(opts)
	}
	dir, root := t.TempDir(), tenant.NewSecret(bytes.Repeat([]byte{9}, 32))
	w := &world{t: t, rec: &recorder{}, dir: dir, root: root}
	var err error
	w.srv, err = firewalld.Open(dir, root, w.rec, opts)
	w.ok(err)
	name, err := tenant.NewText("acme", 10)
	w.ok(err)
	w.tenant, err = firewalld.AddTenant(dir, root, name)
	w.ok(err)
	w.key, err = firewalld.AddUser(dir, root, w.tenant, name, true)
	w.ok(err)
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); w.ok(w.srv.Close()) })
	w.c, err = fas.Dial(w.connect())
	w.ok(err)
	t.Cleanup(func() { w.ok(w.c.Close()) })
	return w
}

// another is the administrator of another tenant.
func (w *world) another(name string) firewalld.AccessKey {
	w.t.Helper()
	text, err := tenant.NewText(name, 100)
	w.ok(err)
	id, err := firewalld.AddTenant(w.dir, w.root, text)
	w.ok(err)
	key, err := firewalld.AddUser(w.dir, w.root, id, text, true)
	w.ok(err)
	return key
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) refused(name string, err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Errorf("%s: got %v, want %v", name, err, want)
	}
}

// socketPair returns the two ends of a pair.
func socketPair() (a, b *net.UnixConn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	var out [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, cerr := net.FileConn(f)
		out[i], err = c, errors.Join(err, cerr, f.Close())
	}
	if err != nil {
		return nil, nil, err
	}
	return out[0].(*net.UnixConn), out[1].(*net.UnixConn), nil
}

func sockets(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	a, b, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// connect is another connection that the firewall serves. The test waits at
// its end until the firewall has let go of it.
func (w *world) connect() *net.UnixConn {
	w.t.Helper()
	mine, theirs := sockets(w.t)
	done := make(chan struct{})
	go func() { defer close(done); _ = w.srv.Serve(w.ctx, theirs) }()
	w.t.Cleanup(func() {
		_ = mine.Close()
		select {
		case <-done:
		case <-time.After(patience):
			w.t.Error("a connection is served after its end")
		}
	})
	return mine
}

func (w *world) evidence(op string, at time.Time) fas.Evidence {
	return w.signed(op, fmt.Appendf(nil, `{"nonce":%d}`, w.n.Add(1)), at)
}

func (w *world) signed(op string, body []byte, at time.Time) fas.Evidence {
	return w.by(w.key, op, body, at)
}

// by is a call that somebody signed.
func (w *world) by(key firewalld.AccessKey, op string, body []byte, at time.Time) fas.Evidence {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://service.local/"+op, bytes.NewReader(body))
	w.ok(err)
	w.ok(sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: key.AccessKeyID, Secret: tenant.NewSecret([]byte(key.SecretAccessKey)),
		Region: "us-east-1", Service: "codewhisperer"}, at))
	r.RequestURI, r.Host = "/"+op, "service.local"
	ev, b, err := sigv4.Capture(r, 1<<20)
	w.ok(err)
	ev, err = ev.WithBody(b)
	w.ok(err)
	out, err := fas.SigV4Evidence(ev)
	w.ok(err)
	return out
}

func (w *world) own(op string, id tenant.CustomizationID) (*fas.Session, error) {
	return w.c.AssumeOwn(context.Background(), w.evidence(op, time.Now()), fas.Request{RequestID: tenant.NewRequestID(), Customization: id})
}

func (w *world) create() (fas.Row, fas.Ticket) {
	w.t.Helper()
	s, err := w.own("CreateCustomization", tenant.CustomizationID{})
	w.ok(err)
	row, ticket, err := w.c.Catalog(s).Create(context.Background(), fas.CreateInput{})
	w.ok(err)
	return row, ticket
}

// active makes a customization that the administrator may query.
func (w *world) active() fas.Row {
	w.t.Helper()
	ctx := context.Background()
	row, ticket := w.create()
	w.ok(w.c.Register(ctx, ticket, [32]byte{1}))
	w.ok(w.c.Finish(ctx, ticket, 5))
	up, err := w.own("UpdateCustomization", row.Customization)
	w.ok(err)
	w.ok(w.c.Catalog(up).Activate(ctx, row.Customization, 0))
	share, err := w.own("AssociateCustomizationPermission", row.Customization)
	w.ok(err)
	w.ok(w.c.Catalog(share).Share(ctx, row.Customization, w.key.User))
	return row
}

// message is one frame of the socket.
func message(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// withEvidence puts evidence behind a call.
func withEvidence(call, ev []byte) []byte { return append(append(bytes.Clone(call), 0), ev...) }

// frame sends one frame and returns the answer, or io.EOF when the peer hung up.
func frame(c *net.UnixConn, body []byte) (map[string]any, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.Write(message(body)); err != nil {
		return nil, io.EOF
	}
	return receive(c)
}

func receive(c *net.UnixConn) (map[string]any, error) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		return nil, io.EOF
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	var out map[string]any
	text, session, found := bytes.Cut(b, []byte{0})
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, err
	}
	if found {
		out["session"] = session
	}
	return out, nil
}

// alive shows that the connection still answers, or that it does not.
func alive(c *net.UnixConn) bool {
	out, err := frame(c, []byte(`{"op":"unfinished"}`))
	return err == nil && out["error"] == nil
}
