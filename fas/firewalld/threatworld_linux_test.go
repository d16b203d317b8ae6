package firewalld_test

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
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// wall is a firewall that listens on a path, with two tenants and a front end
// that dialled it.
type wall struct {
	t         *testing.T
	dir       string
	root      tenant.Secret
	opts      firewalld.Options
	rec       *recorder
	srv       *firewalld.Server
	path      string
	c         *fas.Client
	a, b, dev person // dev is a user of a's who may do nothing
	n         int
	stop      func()
}

func newWall(t *testing.T, change func(*firewalld.Options)) *wall {
	t.Helper()
	w := &wall{t: t, rec: &recorder{}, dir: t.TempDir(), root: tenant.NewSecret(bytes.Repeat([]byte{7}, 32)), opts: firewalld.Options{Operations: operations}}
	if change != nil {
		change(&w.opts)
	}
	name, err := tenant.NewText("x", 10)
	w.ok(err)
	for _, p := range []*person{&w.a, &w.b} {
		p.tenant, err = firewalld.AddTenant(w.dir, w.root, name)
		w.ok(err)
		p.key, err = firewalld.AddUser(w.dir, w.root, p.tenant, name, true)
		w.ok(err)
	}
	w.dev.tenant = w.a.tenant
	w.dev.key, err = firewalld.AddUser(w.dir, w.root, w.a.tenant, name, false)
	w.ok(err)
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *wall) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start opens the directory and listens; stop ends both, as a restart does.
func (w *wall) start() {
	w.t.Helper()
	opts := w.opts
	var err error
	w.srv, err = firewalld.Open(w.dir, w.root, w.rec, &opts)
	w.ok(err)
	var stopListening func()
	w.path, stopListening = w.listen("front-end")
	w.c = w.dial(w.path)
	w.stop = func() {
		_ = w.c.Close()
		stopListening()
		w.ok(w.srv.Close())
	}
}

// listen serves a path of its own for this process, under a name, as a control
// plane.
func (w *wall) listen(name string) (path string, stop func()) {
	w.t.Helper()
	return w.listenTo(name, true)
}

func (w *wall) listenTo(name string, control bool) (path string, stop func()) {
	w.t.Helper()
	exe, err := os.Readlink("/proc/self/exe")
	w.ok(err)
	dir, err := os.MkdirTemp("", "wall")
	w.ok(err)
	path = filepath.Join(dir, "s")
	l, err := w.srv.ListenUnix(path, []fas.Workload{{Name: name, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Executable: exe, Control: control}})
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	return path, func() {
		cancel()
		w.ok(errors.Join(<-done, os.RemoveAll(dir)))
	}
}

func (w *wall) dial(path string) *fas.Client {
	w.t.Helper()
	c, err := fas.Dial(w.conn(path))
	w.ok(err)
	return c
}

func (w *wall) conn(path string) *net.UnixConn {
	w.t.Helper()
	c, err := net.Dial("unix", path)
	w.ok(err)
	return c.(*net.UnixConn)
}

// frame is a call past the client's own checks.
func (w *wall) frame(path, body string) map[string]any {
	w.t.Helper()
	c := w.conn(path)
	defer c.Close()
	w.ok(c.SetDeadline(time.Now().Add(20 * time.Second)))
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	w.ok(err)
	var head [4]byte
	_, err = io.ReadFull(c, head[:])
	w.ok(err)
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err = io.ReadFull(c, b)
	w.ok(err)
	var out map[string]any
	text, session, found := bytes.Cut(b, []byte{0})
	w.ok(json.Unmarshal(text, &out))
	if found {
		out["session"] = session
	}
	return out
}

// request is a signed request as it comes in at a front end.
func (w *wall) request(p person, op, body string, at time.Time, change func(*http.Request, *sigv4.Credentials)) *http.Request {
	w.t.Helper()
	if body == "" {
		w.n++
		body = fmt.Sprintf(`{"nonce":%d}`, w.n)
	}
	r, err := http.NewRequest(http.MethodPost, "http://service.local/"+op, bytes.NewReader([]byte(body)))
	w.ok(err)
	key := sigv4.Credentials{AccessKeyID: p.key.AccessKeyID, Secret: tenant.NewSecret([]byte(p.key.SecretAccessKey)), Region: "us-east-1", Service: "codewhisperer"}
	if change != nil {
		change(r, &key)
	}
	w.ok(sigv4.SignRequest(r, []byte(body), key, at))
	r.RequestURI, r.Host = "/"+op, "service.local"
	return r
}

// evidence is what a front end keeps of a request, body and all.
func (w *wall) evidence(r *http.Request) fas.Evidence {
	w.t.Helper()
	signed, body, err := sigv4.Capture(r, 1<<20)
	w.ok(err)
	signed, err = signed.WithBody(body)
	w.ok(err)
	ev, err := fas.SigV4Evidence(signed)
	w.ok(err)
	return ev
}

func (w *wall) call(p person, op, body string) fas.Evidence {
	w.t.Helper()
	return w.evidence(w.request(p, op, body, time.Now(), nil))
}

func (w *wall) own(p person, op string, id tenant.CustomizationID) (*fas.Session, error) {
	w.t.Helper()
	return w.ask(w.call(p, op, ""), id)
}

func (w *wall) ask(ev fas.Evidence, id tenant.CustomizationID) (*fas.Session, error) {
	return w.c.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: id})
}

func (w *wall) must(s *fas.Session, err error) *fas.Session {
	w.t.Helper()
	w.ok(err)
	return s
}

// row makes a customization that waits for its source.
func (w *wall) row(p person) (tenant.CustomizationID, fas.Ticket) {
	w.t.Helper()
	s := w.must(w.own(p, "CreateCustomization", tenant.CustomizationID{}))
	row, ticket, err := w.c.Catalog(s).Create(context.Background(), fas.CreateInput{})
	w.ok(err)
	return row.Customization, ticket
}

// served is a customization that p may query.
func (w *wall) served(p person) tenant.CustomizationID {
	w.t.Helper()
	ctx := context.Background()
	id, ticket := w.row(p)
	w.ok(w.c.Register(ctx, ticket, [32]byte{1}))
	w.ok(w.c.Finish(ctx, ticket, 5))
	w.ok(w.c.Catalog(w.must(w.own(p, "UpdateCustomization", id))).Activate(ctx, id, 0))
	w.ok(w.c.Catalog(w.must(w.own(p, "AssociateCustomizationPermission", id))).Share(ctx, id, p.key.User))
	return id
}

// source is the body of a call that names a source. Each is another call.
func (w *wall) source(uri string) string {
	w.n++
	b, err := json.Marshal(map[string]any{"nonce": w.n, "dataReference": map[string]any{"s3Reference": map[string]string{"uri": uri}}})
	w.ok(err)
	return string(b)
}

// scope is a policy that allows one action.
func scope(action, where string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"arn:aws:s3:::` + where + `"}]}`
}

func (w *wall) exchange(ev fas.Evidence, row tenant.CustomizationID, scope string) (*fas.Session, error) {
	return w.c.Exchange(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: row, Profile: firewalld.SourceProfile, Scope: []byte(scope)})
}

// refused wants one refusal exactly, and no session with it.
func refused(t *testing.T, name string, s *fas.Session, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || s != nil {
		t.Errorf("%s: got %v, want %v", name, err, want)
	}
}
