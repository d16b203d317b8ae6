package fas_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// self is this test's process as a workload.
func self(t testing.TB, name string) fas.Workload {
	t.Helper()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return fas.Workload{Name: name, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Executable: exe}
}

// socketDir is a folder that only this user may write, with a short path.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fas")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// listen serves a path for a list and returns the path.
func (w *world) listen(ws ...fas.Workload) string {
	w.t.Helper()
	path := filepath.Join(socketDir(w.t), "s")
	l, err := w.srv.ListenUnix(path, ws)
	w.ok(err)
	ctx, cancel := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			w.ok(err)
		case <-time.After(patience):
			w.t.Error("a listener goes on after its end")
		}
	})
	return path
}

// dialPath is a client of a listening firewall, as this process.
func dialPath(t testing.TB, path string) *fas.Client {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := fas.Dial(c.(*net.UnixConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	return out
}

func TestListenUnix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	path := w.listen(self(t, "front-end"))
	info, err := os.Stat(path)
	w.ok(err)
	if info.Mode().Perm() != 0o660 {
		t.Errorf("the socket has mode %v", info.Mode())
	}
	c := dialPath(t, path)
	v, err := c.Version(ctx)
	w.ok(err)
	if v.Protocol < 2 || v.Profiles[firewalld.SourceProfile] == "" || len(v.Schemes) != 1 || v.Schemes[0] != tenant.MethodSigV4 || v.Build == "" || v.Started.IsZero() {
		t.Errorf("%+v", v)
	}
	s, err := c.AssumeOwn(ctx, w.evidence("ListCustomizations", time.Now()), fas.Request{RequestID: tenant.NewRequestID()})
	w.ok(err)
	_, err = c.Catalog(s).List(ctx)
	w.ok(err)
	_, err = w.c.Catalog(s).List(ctx)
	w.refused("the session of another workload", err, fas.ErrRole)
	w.refused("a workload that is no operator", c.Revoke(ctx, fas.Revocation{Session: s.ID()}), fas.ErrRole)
	f, err := c.Attach(ctx)
	w.ok(err)
	w.ok(f.Close())
}

// An operator revokes, over the socket.
func TestOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := self(t, "operator")
	op.Operator = true
	c := dialPath(t, w.listen(op))
	s, err := w.own("ListCustomizations", tenant.CustomizationID{})
	w.ok(err)
	w.ok(c.Revoke(context.Background(), fas.Revocation{Session: s.ID()}))
	_, err = w.c.Catalog(s).List(context.Background())
	w.refused("a revoked session", err, fas.ErrRevoked)
	w.refused("a revocation of nothing", c.Revoke(context.Background(), fas.Revocation{}), fas.ErrConflict)
}

// A peer that is not on the list gets no answer, and its visit is recorded.
func TestListenRefusesPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*fas.Workload){
		"another user":       func(l *fas.Workload) { l.UID++ },
		"another group":      func(l *fas.Workload) { l.GID++ },
		"another executable": func(l *fas.Workload) { l.Executable = "/usr/bin/true" },
		"a link to it": func(l *fas.Workload) {
			link := filepath.Join(socketDir(t), "link")
			w.ok(os.Symlink(l.Executable, link))
			l.Executable = link
		},
	} {
		other := self(t, "other")
		change(&other)
		before := len(w.rec.reasons())
		c, err := net.Dial("unix", w.listen(other))
		w.ok(err)
		if out, err := frame(c.(*net.UnixConn), []byte(`{"op":"version"}`)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, %v", name, out, err)
		}
		_ = c.Close()
		if got := w.rec.reasons(); len(got) != before+1 || got[before] != "not-a-workload" {
			t.Errorf("%s: recorded %v", name, got[before:])
		}
		c, err = net.Dial("unix", w.listen(other, self(t, "front-end")))
		w.ok(err)
		if out, err := frame(c.(*net.UnixConn), []byte(`{"op":"version"}`)); err != nil || out["version"] == nil {
			t.Errorf("%s, control: %v, %v", name, out, err)
		}
		_ = c.Close()
	}
}

func TestListenUnixRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := self(t, "front-end")
	dir := socketDir(t)
	tls := me
	tls.Identity = "spiffe://example.org/front-end"
	for name, ws := range map[string][]fas.Workload{
		"nobody": nil, "a name twice": {me, me}, "no name": {{UID: 1}}, "the name of the pair": {self(t, fas.Embedded)},
		"a name that is none": {self(t, "Front End")}, "an identity of TLS": {tls},
	} {
		if l, err := w.srv.ListenUnix(filepath.Join(dir, "s"), ws); !errors.Is(err, fas.ErrConfig) || l != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	file, open, gone := filepath.Join(dir, "file"), filepath.Join(dir, "open"), filepath.Join(dir, "gone")
	w.ok(os.WriteFile(file, []byte("x"), 0o600))
	w.ok(os.Mkdir(open, 0o700))
	w.ok(os.Chmod(open, 0o777))
	held := w.listen(me)
	for name, path := range map[string]string{"a file": file, "a folder that others write": filepath.Join(open, "s"), "no folder": filepath.Join(gone, "s"), "a socket in use": held} {
		if l, err := w.srv.ListenUnix(path, []fas.Workload{me}); !errors.Is(err, fas.ErrConfig) || l != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
		t.Error("a refusal removed the file")
	}
	if _, err := dialPath(t, held).Version(context.Background()); err != nil {
		t.Errorf("the socket in use was taken over: %v", err)
	}
	// What a killed firewall left is replaced.
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	w.ok(err)
	l.SetUnlinkOnClose(false)
	w.ok(l.Close())
	again, err := w.srv.ListenUnix(stale, []fas.Workload{me})
	w.ok(err)
	w.ok(again.Close())
	if _, err := os.Lstat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

// An answer comes again to the workload that it was given to.
func TestLostAnswerOfAnotherWorkload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	other := dialPath(t, w.listen(self(t, "other")))
	ev, req := w.sourceCall()
	first, err := w.c.Exchange(ctx, ev, req)
	w.ok(err)
	_, err = other.Exchange(ctx, ev, req)
	w.refused("the same request of another workload", err, fas.ErrReplayed)
	again, err := w.c.Exchange(ctx, ev, req)
	w.ok(err)
	if again.ID() != first.ID() {
		t.Error("control: another session")
	}
}
