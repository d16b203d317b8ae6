package fas_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// authority signs certificates of workloads.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue makes a certificate for names; those with :// are URIs.
func (a *authority) issue(change func(*x509.Certificate), names ...string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	for _, n := range names {
		if strings.Contains(n, "://") {
			u, err := url.Parse(n)
			if err != nil {
				a.t.Fatal(err)
			}
			tmpl.URIs = append(tmpl.URIs, u)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	if change != nil {
		change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

const frontEnd = "spiffe://example.org/front-end"

func TestListenTLSRefuses(t *testing.T) {
	t.Parallel()
	w, ca := newWorld(t), newAuthority(t)
	good := func() *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "wall")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()}
	}
	list := []fas.Workload{{Name: "front-end", Identity: frontEnd}}
	for name, c := range map[string]struct {
		change func(*tls.Config)
		mend   string
	}{
		"no certificate":                   {func(c *tls.Config) { c.Certificates = nil }, "set Certificates"},
		"no client certificates":           {func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }, "RequireAndVerifyClientCert"},
		"client certificates if they like": {func(c *tls.Config) { c.ClientAuth = tls.VerifyClientCertIfGiven }, "RequireAndVerifyClientCert"},
		"client certificates of anybody":   {func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, "RequireAndVerifyClientCert"},
		"the system's authorities":         {func(c *tls.Config) { c.ClientCAs = nil }, "set ClientCAs"},
		"another configuration on the way": {func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
		}, "GetConfigForClient"},
		"an old version":                    {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, "TLS 1.3"},
		"verification that is switched off": {func(c *tls.Config) { c.InsecureSkipVerify = true }, "InsecureSkipVerify"},
	} {
		conf := good()
		c.change(conf)
		if l, err := w.srv.ListenTLS("127.0.0.1:0", conf, list); !errors.Is(err, fas.ErrConfig) || l != nil || !strings.Contains(err.Error(), c.mend) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l, err := w.srv.ListenTLS("127.0.0.1:0", nil, list); !errors.Is(err, fas.ErrConfig) || l != nil {
		t.Errorf("plain TCP: %v", err)
	}
	for name, ws := range map[string][]fas.Workload{"nobody": nil, "no identity": {{Name: "front-end"}}} {
		if l, err := w.srv.ListenTLS("127.0.0.1:0", good(), ws); !errors.Is(err, fas.ErrConfig) || l != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := w.srv.ListenTLS("127.0.0.1:0", good(), list)
	w.ok(err)
	w.ok(l.Close())
}

func TestListenTLS(t *testing.T) {
	t.Parallel()
	w, ca, foreign := newWorld(t), newAuthority(t), newAuthority(t)
	l, err := w.srv.ListenTLS("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{ca.issue(nil, "wall")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool()},
		[]fas.Workload{{Name: "front-end", Identity: frontEnd}, {Name: "editor", Identity: "editor.example.org"}})
	w.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	t.Cleanup(func() { cancel(); w.ok(<-done) })
	dial := func(certs ...tls.Certificate) error {
		c, err := fas.DialTLS(ctx, l.Addr().String(), &tls.Config{Certificates: certs, RootCAs: ca.pool(), ServerName: "wall"})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Version(ctx)
		return err
	}
	for name, certs := range map[string][]tls.Certificate{
		"another name":         {ca.issue(nil, "spiffe://example.org/other")},
		"a longer name":        {ca.issue(nil, frontEnd+"/x")},
		"no name":              {ca.issue(nil)},
		"two names":            {ca.issue(nil, frontEnd, "editor.example.org")},
		"a common name":        {ca.issue(func(c *x509.Certificate) { c.Subject.CommonName = "editor.example.org" })},
		"another authority":    {foreign.issue(nil, frontEnd)},
		"a certificate's end":  {ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, frontEnd)},
		"a server's":           {ca.issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, frontEnd)},
		"a wildcard of itself": {ca.issue(nil, "*.example.org")},
	} {
		if err := dial(certs...); !errors.Is(err, fas.ErrInternal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Who fails in the handshake hears of it before the listener records it.
	recorded := func() int {
		return len(slices.DeleteFunc(w.rec.reasons(), func(r string) bool { return r != "not-a-workload" }))
	}
	for end := time.Now().Add(patience); recorded() < 9 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	if n := recorded(); n < 9 {
		t.Errorf("%d of 9 are recorded", n)
	}
	for _, name := range []string{frontEnd, "editor.example.org"} {
		if err := dial(ca.issue(nil, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	mine := ca.issue(nil, frontEnd)
	for name, conf := range map[string]*tls.Config{
		"nothing": nil, "no certificate": {RootCAs: ca.pool(), ServerName: "wall"}, "no authorities": {Certificates: []tls.Certificate{mine}},
		"no verification": {Certificates: []tls.Certificate{mine}, RootCAs: ca.pool(), InsecureSkipVerify: true},
	} {
		if c, err := fas.DialTLS(ctx, l.Addr().String(), conf); !errors.Is(err, fas.ErrConfig) || c != nil {
			t.Errorf("a client with %s: %v", name, err)
		}
	}
	if c, err := fas.DialTLS(ctx, l.Addr().String(), &tls.Config{Certificates: []tls.Certificate{mine}, RootCAs: foreign.pool(), ServerName: "wall"}); !errors.Is(err, fas.ErrInternal) || c != nil {
		t.Errorf("a firewall of another authority: %v", err)
	}
	c, err := fas.DialTLS(ctx, l.Addr().String(), &tls.Config{Certificates: []tls.Certificate{mine}, RootCAs: ca.pool(), ServerName: "wall"})
	w.ok(err)
	defer c.Close()
	s, err := c.AssumeOwn(ctx, w.evidence("ListCustomizations", time.Now()), fas.Request{RequestID: tenant.NewRequestID()})
	w.ok(err)
	_, err = c.Catalog(s).List(ctx)
	w.ok(err)
	_, err = w.c.Catalog(s).List(ctx)
	w.refused("the session of a workload elsewhere", err, fas.ErrRole)
	_, err = c.Attach(ctx)
	w.refused("a worker over TLS", err, fas.ErrRole)
	w.ok(c.Close())
	for range 50 {
		_, err := c.Version(ctx)
		w.refused("a closed client", err, fas.ErrClosed)
	}
}
