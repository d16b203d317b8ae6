package sigv4_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// servers are the three ways to the same handler.
type servers struct {
	h1, proxy, h2 *httptest.Server
	client        *http.Client // speaks HTTP/2 to h2, whatever the host
}

// answer is what the handler says: the captured call, or why it was refused.
func check(w http.ResponseWriter, r *http.Request) {
	service := "service"
	if strings.HasPrefix(r.URL.Path, "/bucket/") {
		service = "s3"
	}
	ev, body, err := sigv4.CaptureWith(r, 1<<20, captureOptions(service == "s3"))
	if err == nil {
		err = verifier(service).Verify(ev, ev.Time())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	token, _ := ev.Header("X-Amz-Security-Token")
	fmt.Fprintf(w, "%s %d %d %s", r.Proto, len(body), len(token), ev.Path())
}

func start(t *testing.T) servers {
	h := http.HandlerFunc(check)
	s := servers{h1: httptest.NewServer(h)}
	t.Cleanup(s.h1.Close)
	to, err := url.Parse(s.h1.URL)
	if err != nil {
		t.Fatal(err)
	}
	// What a proxy must leave alone: host, path, query.
	s.proxy = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host, p.Out.URL.RawQuery = p.In.Host, p.In.URL.RawQuery
	}})
	t.Cleanup(s.proxy.Close)
	s.h2 = httptest.NewUnstartedServer(h)
	s.h2.EnableHTTP2 = true
	s.h2.StartTLS()
	t.Cleanup(s.h2.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.h2.Certificate())
	s.client = &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.h2.Listener.Addr().String())
		}}}
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// raw sends the very bytes.
func raw(srv *httptest.Server, wire string) (int, string, error) {
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, wire); err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// overH2 sends the same call over HTTP/2.
func (s servers) overH2(wire string) (int, string, error) {
	in, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return 0, "", err
	}
	r, err := http.NewRequest(in.Method, "https://"+in.Host+in.RequestURI, strings.NewReader(string(body)))
	if err != nil {
		return 0, "", err
	}
	r.Header = in.Header
	r.Header.Del("Content-Length")
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	res, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}
