package kmsserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/kmsctx/kmsserver"
)

// Whoever only connects does not take the descriptors that the store and the
// audit log need.
func TestListenLeavesDescriptors(t *testing.T) {
	l, err := kmsserver.Listen("127.0.0.1:0", nil)
	must(t, err)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	const most = 512
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for i := range most + 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if errors.Is(err, syscall.EMFILE) {
			t.Skipf("this process may not open %d connections: %v", i, err)
		}
		must(t, err)
		held = append(held, c)
		if i == most {
			break
		}
		c, ok := <-accepted
		if !ok {
			t.Skipf("this process may not open %d connections", i)
		}
		held = append(held, c)
	}
	select {
	case <-accepted:
		t.Fatalf("%d connections are open", most+1)
	case <-time.After(50 * time.Millisecond):
	}
	must(t, held[1].Close())
	if c, ok := <-accepted; !ok {
		t.Error("the place of one that ended is not given to the next")
	} else {
		held = append(held, c)
	}
}

// What counts the connections does not hide from the handler that they are
// encrypted.
func TestListenTLS(t *testing.T) {
	t.Parallel()
	other := httptest.NewTLSServer(nil)
	defer other.Close()
	l, err := kmsserver.Listen("127.0.0.1:0", &tls.Config{Certificates: other.TLS.Certificates, MinVersion: tls.VersionTLS10})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- kmsserver.Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || r.TLS.Version < tls.VersionTLS12 {
				w.WriteHeader(http.StatusTeapot)
			}
		}))
	}()
	c := other.Client()
	r, err := c.Get("https://" + l.Addr().String())
	must(t, err)
	_, err = io.Copy(io.Discard, r.Body)
	must(t, errors.Join(err, r.Body.Close()))
	if r.StatusCode != http.StatusOK {
		t.Error("the handler does not see that the call is encrypted")
	}
	if r, err := http.Get("http://" + l.Addr().String()); err == nil {
		if r.StatusCode == http.StatusOK {
			t.Error("served in the clear")
		}
		must(t, r.Body.Close())
	}
	c.CloseIdleConnections()
	cancel()
	must(t, <-done)
}
