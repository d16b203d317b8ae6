package fas_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// Strangers who connect and say nothing keep no workload out, unless hundreds come
// in the time of one handshake.
func TestSilentStrangers(t *testing.T) {
	w, ca := newWorld(t), newAuthority(t)
	l, err := w.srv.ListenTLS("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "wall")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()},
		[]fas.Workload{{Name: "front-end", Identity: frontEnd}})
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() { cancel(); w.ok(<-done) })
	for range 1300 {
		c, err := net.Dial("tcp", l.Addr().String())
		if errors.Is(err, syscall.EMFILE) {
			t.Skipf("this process may not open 1300 connections: %v", err)
		}
		w.ok(err)
		defer c.Close()
	}
	c, err := fas.DialTLS(ctx, l.Addr().String(), &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, frontEnd)}, RootCAs: ca.pool(), ServerName: "wall"})
	w.ok(err)
	_, err = c.AssumeOwn(ctx, w.evidence("ListCustomizations", time.Now()), fas.Request{RequestID: tenant.NewRequestID()})
	w.ok(err)
	w.ok(c.Close())
}

// A folder that others could exchange for another is none for a socket, however
// far above it lies.
func TestFoldersAboveTheSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := []fas.Workload{{Name: "front-end", UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}}
	for name, c := range map[string]struct {
		mode os.FileMode
		ok   bool
	}{"anybody's": {0o777, false}, "a group's": {0o770, false}, "anybody's, and sticky": {0o777 | os.ModeSticky, true}, "its own": {0o755, true}} {
		above := t.TempDir()
		dir := filepath.Join(above, "a", "run")
		w.ok(os.MkdirAll(dir, 0o750))
		w.ok(os.Chmod(above, c.mode))
		link := filepath.Join(t.TempDir(), "link")
		w.ok(os.Symlink(dir, link))
		shared := filepath.Join(above, "link")
		w.ok(os.Symlink(t.TempDir(), shared))
		for _, dir := range []string{dir, link, shared} {
			l, err := w.srv.ListenUnix(filepath.Join(dir, "s"), me)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, fas.ErrConfig) {
				t.Errorf("%s: %v", name, err)
			}
			if err == nil {
				w.ok(l.Close())
			}
		}
	}
}

// A workload that takes more connections than there are is refused on record.
func TestTooManyConnections(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "s")
	w.ok(os.Chmod(filepath.Dir(path), 0o750))
	l, err := w.srv.ListenUnix(path, []fas.Workload{{Name: "front-end", UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}})
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() { cancel(); w.ok(<-done) })
	refused := func() int {
		return w.rec.count(func(e audit.Event) bool {
			return e.Reason == "too-many-connections" && e.Decision == audit.Deny && e.Detail["workload"] == "front-end"
		})
	}
	for range 256 + 3 {
		c, err := net.Dial("unix", path)
		if errors.Is(err, syscall.EMFILE) {
			t.Skipf("this process may not open 259 connections: %v", err)
		}
		w.ok(err)
		defer c.Close()
	}
	for end := time.Now().Add(patience); refused() < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d refusals are on record", refused())
		}
	}
	if n := refused(); n != 3 {
		t.Errorf("%d refusals of three", n)
	}
}
