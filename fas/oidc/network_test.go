package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// The zero options reach no private network.
func TestPrivateNetworks(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	v, err := NewVerifier(p, p.users(t), Options{Origins: []string{origin}})
	if err != nil {
		t.Fatal(err)
	}
	p.v = v
	if err := p.try(t); !errors.Is(err, ErrConfig) || p.acme.asked.Load() != 0 {
		t.Errorf("plain http: %v", err)
	}
	for _, url := range []string{"https://127.0.0.1:1/", "https://[::1]:1/", "https://10.0.0.1/", "https://169.254.169.254/",
		"https://[fe80::1]/", "https://[fd00::1]/", "https://[::ffff:127.0.0.1]:1/", "https://localhost:1/",
		"https://100.100.100.200/", "https://[64:ff9b::a9fe:a9fe]/", "https://[fec0::1%25lo]/"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newClient(false).Do(r); !errors.Is(err, errForbidden) {
			t.Errorf("%s: %v", url, err)
		}
		cancel()
	}
	for _, url := range []string{"", "x", "ftp://h", "https://", "https://u@h", "https://h?q", "https://h#f", "http://h"} {
		if err := checkIssuer(url, false); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if err := checkIssuer("https://login.example.com/tenant", false); err != nil {
		t.Error(err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Keys are not fetched over what anybody on the way can change, whatever the
// address: a document may name any URL for them.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		private bool
		url     string
		want    error
	}{
		{false, "http://8.8.8.8/jwks", errForbidden}, {false, "HTTP://login.example.com/jwks", errForbidden},
		{false, "https://8.8.8.8/jwks", nil}, {true, "http://127.0.0.1/jwks", nil},
	} {
		client, asked := newClient(c.private), false
		client.Transport.(*bounded).base = roundTripper(func(*http.Request) (*http.Response, error) {
			asked = true
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
		})
		res, err := client.Get(c.url)
		if err == nil {
			res.Body.Close()
		}
		if !errors.Is(err, c.want) || asked != (c.want == nil) {
			t.Errorf("%s, with private networks %t: asked %t, %v", c.url, c.private, asked, err)
		}
	}
}

// What is not public is not asked, however it is written; private addresses
// are, where they are allowed, and nothing else besides.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		public, private bool
		addresses       []string
	}{
		{false, false, []string{
			"0.0.0.0", "0.1.2.3", "0.255.255.255", "100.64.0.0", "100.100.100.200", "100.127.255.255", "192.0.0.0", "192.0.0.192", "192.0.0.255",
			"192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
			"169.254.169.254", "224.0.0.1", "239.255.255.255",
			"::", "::2", "::808:808", "64:ff9b::808:808", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "100::1", "100:0:0:1::1", "2001::1", "2001:2::1",
			"2001:10::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:808:808::1", "2002:a9fe:a9fe::1", "3fff::1", "3fff:fff::1",
			"4000::1", "5f00::1", "fe80::1", "fe80::1%lo", "febf::1", "2600::1%lo", "fec0::1", "fec0::1%lo", "2002:a9fe:a9fe::1%lo", "ff02::1", "ff0e::1",
			"::ffff:0.1.2.3", "::ffff:100.64.0.1", "::ffff:169.254.169.254", "::ffff:198.18.0.1", "::ffff:240.0.0.1", "::ffff:203.0.113.1"}},
		{false, true, []string{"10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "127.0.0.1", "127.255.255.255", "::1", "fc00::1", "fd00:ec2::1",
			"::ffff:10.0.0.1", "::ffff:127.0.0.1"}},
		{true, true, []string{"1.0.0.0", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.88.98.1",
			"192.169.0.1", "198.17.255.255", "198.20.0.0", "198.51.99.1", "198.51.101.1", "203.0.112.1", "203.0.114.1", "223.255.255.255",
			"2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2003::1", "2600::1", "2a00:1450::1", "3ffe::1", "::ffff:8.8.8.8"}},
	} {
		for _, a := range c.addresses {
			ip := netip.MustParseAddr(a)
			if public, private := dialable(ip, false), dialable(ip, true); public != c.public || private != c.private {
				t.Errorf("%s: asked %t, with private networks %t; want %t, %t", a, public, private, c.public, c.private)
			}
		}
	}
}
