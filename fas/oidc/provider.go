package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
)

const (
	fetchTimeout = 5 * time.Second
	fetchLimit   = 1 << 20
	// keysAge is how long keys are used after they were fetched.
	keysAge = 10 * time.Minute
	// A provider is asked this often at once, and then once in fetchEvery: a
	// stranger's token with a key id of its own makes the library ask again.
	fetchBurst = 6
	fetchEvery = 10 * time.Second
)

// provider is an issuer whose discovery document and keys are fetched and kept.
type provider struct {
	issuer string
	client *http.Client
	turn   chan struct{} // one fetch at a time; others may leave

	mu      sync.Mutex
	p       *gooidc.Provider
	fetched time.Time
}

func newProvider(issuer string, private bool) *provider {
	return &provider{issuer: issuer, client: newClient(private), turn: make(chan struct{}, 1)}
}

// get returns the provider with keys that are not too old.
func (p *provider) get(ctx context.Context) (*gooidc.Provider, error) {
	if got := p.fresh(); got != nil {
		return got, nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrKeys, ctx.Err())
	}
	if got := p.fresh(); got != nil {
		return got, nil
	}
	ctx, cancel := context.WithTimeout(gooidc.ClientContext(ctx, p.client), fetchTimeout)
	defer cancel()
	got, err := gooidc.NewProvider(ctx, p.issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.p, p.fetched = got, time.Now()
	return got, nil
}

func (p *provider) fresh() *gooidc.Provider {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.p != nil && time.Since(p.fetched) < keysAge {
		return p.p
	}
	return nil
}

// checkIssuer accepts an https URL without query, fragment or user, and http
// only where private addresses are allowed.
func checkIssuer(issuer string, private bool) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !private) {
		return fmt.Errorf("%w: URL of an issuer", ErrConfig)
	}
	return nil
}

var errForbidden = errors.New("oidc: this address may not be asked")

func newClient(private bool) *http.Client {
	d := &net.Dialer{Timeout: fetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		// The address that is dialled, after every name was resolved.
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return errForbidden
		}
		ip := a.Addr().Unmap()
		if private && !ip.IsLinkLocalUnicast() || ip.IsGlobalUnicast() && !ip.IsPrivate() {
			return nil
		}
		return errForbidden
	}}
	t := &http.Transport{DialContext: d.DialContext, TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	return &http.Client{Timeout: fetchTimeout, Transport: &bounded{base: t, plain: private, left: fetchBurst, at: time.Now()},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errForbidden }}
}

// bounded limits how often and how much is fetched.
type bounded struct {
	base  http.RoundTripper
	plain bool

	mu   sync.Mutex
	left float64
	at   time.Time
}

func (b *bounded) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(fetchBurst, b.left+float64(now.Sub(b.at))/float64(fetchEvery))
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// RoundTrip refuses what would be too often, and ends answers that are too long.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !b.plain {
		return nil, errForbidden
	}
	if !b.take(time.Now()) {
		return nil, errors.New("oidc: the provider was asked too often")
	}
	res, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = &limited{res.Body, fetchLimit}
	return res, nil
}

type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("oidc: the provider's answer is too long")
	}
	n, err := l.ReadCloser.Read(b[:min(int64(len(b)), l.left)])
	l.left -= int64(n)
	return n, err
}
