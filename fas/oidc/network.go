package oidc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

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

// global6 is what of IPv6 was ever given out. Outside are the translators to
// IPv4 (64:ff9b::/96, 64:ff9b:1::/48), and all that is local or to be discarded.
var global6 = netip.MustParsePrefix("2000::/3")

// special are the networks of IANA's special-purpose registries that are not
// public and that the predicates of [netip.Addr] do not know, and those of
// tunnels, since an address in them stands for any address of IPv4.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by the customers of a carrier; some clouds' metadata
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments; some clouds' metadata
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // relays of 6to4
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments: Teredo, benchmarks, ORCHID
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// dialable accepts public addresses, and where private is set private and
// loopback ones. No prefix contains an address with a zone: it is refused.
func dialable(ip netip.Addr, private bool) bool {
	ip = ip.Unmap()
	if ip.IsPrivate() || ip.IsLoopback() {
		return private
	}
	return ip.IsGlobalUnicast() && (ip.Is4() || global6.Contains(ip)) &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) })
}

func newClient(private bool) *http.Client {
	d := &net.Dialer{Timeout: fetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		// The address that is dialled, after every name was resolved.
		a, err := netip.ParseAddrPort(address)
		if err != nil || !dialable(a.Addr(), private) {
			return errForbidden
		}
		return nil
	}}
	t := &http.Transport{DialContext: d.DialContext, TLSHandshakeTimeout: fetchTimeout, ResponseHeaderTimeout: fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	return &http.Client{Timeout: fetchTimeout, Transport: &bounded{t, private},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errForbidden }}
}

// bounded limits how much is fetched, and over what.
type bounded struct {
	base  http.RoundTripper
	plain bool
}

// RoundTrip refuses what is not encrypted, and ends answers that are too long.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !b.plain {
		return nil, errForbidden
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
