package sigv4_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// What is signed arrives over HTTP/2 and through a proxy that keeps the host;
// a proxy that writes its own host, path or query breaks it.
func TestOnTheWay(t *testing.T) {
	t.Parallel()
	v := verifier(t, opts)
	end := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, _, err := sigv4.Capture(r, 1<<10)
		if err == nil {
			err = v.Verify(ev, ev.Time())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, r.Proto)
	})
	h1 := httptest.NewServer(end)
	t.Cleanup(h1.Close)
	h2 := httptest.NewUnstartedServer(end)
	h2.EnableHTTP2 = true
	h2.StartTLS()
	t.Cleanup(h2.Close)
	proxy := func(change func(*httputil.ProxyRequest)) *httptest.Server {
		to := must[*url.URL](t)(url.Parse(h1.URL))
		p := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Host, r.Out.URL.RawQuery = r.In.Host, r.In.URL.RawQuery
			if change != nil {
				change(r)
			}
		}})
		t.Cleanup(p.Close)
		return p
	}
	paths := []string{"/op", "/caf%C3%A9/a%2Fb", "/a+b;c", "/q?b=2&a=1&a=0&e=&f", "/q?p=%2B&s=%3B&sp=%20"}
	for _, c := range []struct {
		name string
		srv  *httptest.Server
		want string
	}{
		{"HTTP/1.1", h1, "HTTP/1.1"},
		{"HTTP/2", h2, "HTTP/2.0"},
		{"proxy", proxy(nil), "HTTP/1.1"},
		{"proxy with its own host", proxy(func(r *httputil.ProxyRequest) { r.Out.Host = "inside" }), "does not match"},
		{"proxy with its own path", proxy(func(r *httputil.ProxyRequest) { r.Out.URL.Path, r.Out.URL.RawPath = "/v1"+r.Out.URL.Path, "" }), "does not match"},
		{"proxy with its own query", proxy(func(r *httputil.ProxyRequest) { r.Out.URL.RawQuery += "&via=proxy" }), "does not match"},
		{"proxy that adds X-Amz", proxy(func(r *httputil.ProxyRequest) { r.Out.Header.Set("X-Amz-Cf-Id", "x") }), "must be signed"},
	} {
		for _, path := range paths {
			r := must[*http.Request](t)(http.NewRequest("POST", c.srv.URL+path, strings.NewReader("{}")))
			r.Header.Set("Content-Type", "application/json")
			if err := sigv4.SignRequest(r, []byte("{}"), creds, noon); err != nil {
				t.Fatal(err)
			}
			res := must[*http.Response](t)(c.srv.Client().Do(r))
			b := must[[]byte](t)(io.ReadAll(res.Body))
			_ = res.Body.Close()
			if !strings.Contains(string(b), c.want) {
				t.Errorf("%s, %s: %s", c.name, path, b)
			}
		}
	}
}

// The transport signs what it sends, with the body that it sends, and sends
// nothing without a secret.
func TestTransport(t *testing.T) {
	t.Parallel()
	to, srv := serve(t, sigv4.HandlerOptions{})
	for _, c := range []struct {
		name string
		tr   sigv4.Transport
		code int
	}{
		{"no secret", sigv4.Transport{AccessKeyID: "AKIDEXAMPLE", Region: "us-east-1", Service: "service"}, 0},
		{"another region", sigv4.Transport{AccessKeyID: "AKIDEXAMPLE", Secret: secret, Region: "us-east-2", Service: "service"}, 403},
		{"a region set, where it is not taken", sigv4.Transport{AccessKeyID: "AKIDEXAMPLE", Secret: secret, Service: "service", RegionSet: "*"}, 403},
		{"right", sigv4.Transport{AccessKeyID: "AKIDEXAMPLE", Secret: secret, Region: "us-east-1", Service: "service", SessionToken: "t"}, 200},
	} {
		r := must[*http.Request](t)(http.NewRequest("POST", srv.URL+"/op?q=a+b", strings.NewReader("{}")))
		res, err := c.tr.RoundTrip(r)
		if c.code == 0 {
			if err == nil {
				t.Errorf("%s: sent", c.name)
			}
			continue
		}
		if err != nil || res.StatusCode != c.code {
			t.Errorf("%s: %v %v", c.name, res, err)
			continue
		}
		_ = res.Body.Close()
		if r.Header.Get("Authorization") != "" || r.URL.RawQuery != "q=a+b" {
			t.Errorf("%s: the caller's request was changed", c.name)
		}
	}
	if v, _ := to.ev.Header("X-Amz-Security-Token"); to.calls != 1 || v != "t" || to.body != "{}" || to.ev.Query() != "q=a%20b" {
		t.Errorf("%d calls, %q, %q, %q", to.calls, v, to.body, to.ev.Query())
	}
}
