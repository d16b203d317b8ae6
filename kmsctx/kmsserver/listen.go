package kmsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// maxConnections leaves file descriptors, of which many systems give a process
// 1024, to the store and the audit log: whoever only connects must not be able
// to stop those.
const maxConnections = 512

// Listen opens address, HOST:PORT; port 0 means any. Without a certificate it
// refuses, with [ErrConfig], addresses other than those of loopback: signatures
// keep requests from being altered, not from being read. It accepts 512
// connections at a time; more wait for one to end, which those on which nothing
// is asked do after half a minute.
func Listen(address string, c *tls.Config) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: an address is HOST:PORT", ErrConfig)
	}
	ip := net.ParseIP(host)
	if c == nil && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w: without TLS only 127.0.0.1 and [::1] are served", ErrConfig)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l = netutil.LimitListener(l, maxConnections)
	if c == nil {
		return l, nil
	}
	c = c.Clone()
	if c.MinVersion < tls.VersionTLS12 {
		c.MinVersion = tls.VersionTLS12
	}
	return tls.NewListener(l, c), nil
}

// grace is how long calls under way may take after the server was told to stop.
const grace = 5 * time.Second

// Serve answers calls until ctx ends, lets those under way finish, and returns.
// It closes the listener.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	var quiet unused
	srv.ConnState = quiet.note
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	quiet.close()
	over, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := srv.Shutdown(over)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	if serr := <-failed; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// unused are the connections on which nothing was asked yet. Clients keep spare
// ones, and a shutdown would wait for them as for calls under way.
type unused struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
	over  bool
}

func (u *unused) note(c net.Conn, s http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case s != http.StateNew:
		delete(u.conns, c)
	case u.over:
		_ = c.Close()
	case u.conns == nil:
		u.conns = map[net.Conn]bool{c: true}
	default:
		u.conns[c] = true
	}
}

func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	for c := range u.conns {
		_ = c.Close()
	}
}
