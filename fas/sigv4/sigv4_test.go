package sigv4_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

var (
	secret = tenant.NewSecret([]byte("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
	creds  = sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", Secret: secret, Region: "us-east-1", Service: "service"}
	opts   = sigv4.Options{Region: "us-east-1", Service: "service"}
)

func keys(id string) (tenant.Secret, bool) { return secret, id == "AKIDEXAMPLE" }

// over sends the request through a real server and captures it there.
func over(t testing.TB, change func(*http.Request), path, body string, at time.Time) (sigv4.Evidence, error) {
	t.Helper()
	var ev sigv4.Evidence
	var err error
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ev, _, err = sigv4.Capture(r, 1<<16) }))
	defer srv.Close()
	r, rerr := http.NewRequest(http.MethodPost, srv.URL+path, strings.NewReader(body))
	if rerr != nil {
		t.Fatal(rerr)
	}
	r.Header.Set("Content-Type", "application/json")
	if serr := sigv4.SignRequest(r, []byte(body), creds, at); serr != nil {
		t.Fatal(serr)
	}
	if change != nil {
		change(r)
	}
	res, derr := http.DefaultClient.Do(r)
	if derr != nil {
		t.Fatal(derr)
	}
	_ = res.Body.Close()
	return ev, err
}

// The get-vanilla vector of AWS's published signing suite.
func TestPublishedVector(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = "example.amazonaws.com"
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
	ev, _, err := sigv4.Capture(r, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	if err := sigv4.Verify(ev, keys, at, opts); err != nil {
		t.Error(err)
	}
	if err := sigv4.Verify(ev, keys, time.Now(), opts); !errors.Is(err, sigv4.ErrSkew) {
		t.Errorf("years later: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, path := range []string{"/Operation", "/a%20b", "/x?b=2&a=1&a=0", "/x?empty=&flag", "/%E1%88%B4", "/a;b"} {
		ev, err := over(t, nil, path, `{"a":1}`, time.Now())
		if err == nil {
			err = sigv4.Verify(ev, keys, time.Now(), opts)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		b, err := ev.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back, err := sigv4.ParseEvidence(b)
		if err != nil || back.Digest() != ev.Digest() || back.Path() != ev.Path() {
			t.Errorf("%s: not the same after the wire: %v", path, err)
		}
	}
}

// Evidence on its way to the firewall has one form and an end.
func TestNothingFollowsEvidence(t *testing.T) {
	t.Parallel()
	ev, err := over(t, nil, "/op", `{}`, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	withBody, err := ev.WithBody([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	short, err := ev.AtLevel(sigv4.LevelDigest)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []sigv4.Evidence{ev, withBody, short} {
		b, err := e.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		for _, after := range []string{"}", "{}", "\n", "\x00", string(b)} {
			if _, err := sigv4.ParseEvidence([]byte(string(b) + after)); !errors.Is(err, sigv4.ErrMalformed) {
				t.Errorf("%s followed by %.8q: %v", e.Level(), after, err)
			}
		}
		for n := range b {
			if _, err := sigv4.ParseEvidence(b[:n]); err == nil {
				t.Errorf("%s is taken after %d of %d bytes", e.Level(), n, len(b))
			}
		}
		// Byte 18 is a length; a longer way to write it is another form.
		long := slices.Concat(b[:18], []byte{b[18] | 0x80, 0}, b[19:])
		if _, err := sigv4.ParseEvidence(long); !errors.Is(err, sigv4.ErrMalformed) {
			t.Errorf("%s with a long length: %v", e.Level(), err)
		}
		back, err := sigv4.ParseEvidence(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := back.MarshalBinary(); err != nil || !bytes.Equal(again, b) || back.Level() != e.Level() {
			t.Errorf("%s comes back otherwise: %v", e.Level(), err)
		}
	}
}

func TestRefusals(t *testing.T) {
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	auth := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		path   string
		at     time.Duration
		want   error
	}{
		{"unsigned", func(r *http.Request) { r.Header.Del("Authorization") }, "/", 0, sigv4.ErrNoSignature},
		{"another scheme", set("Authorization", "Bearer x"), "/", 0, sigv4.ErrNoSignature},
		{"two Authorization headers", func(r *http.Request) { r.Header.Add("Authorization", "x") }, "/", 0, sigv4.ErrMalformed},
		{"two dates", func(r *http.Request) { r.Header.Add("X-Amz-Date", "x") }, "/", 0, sigv4.ErrMalformed},
		{"authentication in the query", func(r *http.Request) { r.URL.RawQuery = "X-Amz-Signature=00" }, "/", 0, sigv4.ErrMalformed},
		{"unsigned x-amz header", set("X-Amz-Tenant", "other"), "/", 0, sigv4.ErrNotSigned},
		{"host not signed", auth("host;", ""), "/", 0, sigv4.ErrNotSigned},
		{"unsorted headers", auth("content-type;host", "host;content-type"), "/", 0, sigv4.ErrMalformed},
		{"upper-case header name", auth("content-type", "Content-Type"), "/", 0, sigv4.ErrMalformed},
		{"signed header absent", auth("content-type", "content-typf"), "/", 0, sigv4.ErrMalformed},
		{"changed content type", set("Content-Type", "text/plain"), "/", 0, sigv4.ErrSignature},
		{"changed path", func(r *http.Request) { r.URL.Path = "/other" }, "/", 0, sigv4.ErrSignature},
		{"changed query", func(r *http.Request) { r.URL.RawQuery = "a=1" }, "/", 0, sigv4.ErrSignature},
		{"changed method", func(r *http.Request) { r.Method = http.MethodPut }, "/", 0, sigv4.ErrSignature},
		{"changed host", func(r *http.Request) { r.Host = "other" }, "/", 0, sigv4.ErrSignature},
		{"changed body", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2 }, "/", 0, sigv4.ErrPayload},
		{"unsigned payload", set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), "/", 0, sigv4.ErrPayload},
		{"streaming payload", set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), "/", 0, sigv4.ErrPayload},
		{"unknown key", auth("AKIDEXAMPLE", "AKIDEXAMPLF"), "/", 0, sigv4.ErrSignature},
		{"another region", auth("us-east-1", "us-east-2"), "/", 0, sigv4.ErrSignature},
		{"short signature", auth("Signature=", "Signature=00"), "/", 0, sigv4.ErrMalformed},
		{"dotted path", func(r *http.Request) { r.URL.Opaque = "/a/../b" }, "/", 0, sigv4.ErrAmbiguousPath},
		{"encoded dots", func(r *http.Request) { r.URL.Opaque = "/a/%2e%2e/b" }, "/", 0, sigv4.ErrAmbiguousPath},
		{"double slash", func(r *http.Request) { r.URL.Opaque = "/a//b" }, "/", 0, sigv4.ErrAmbiguousPath},
		{"too old", nil, "/", -6 * time.Minute, sigv4.ErrSkew},
		{"from the future", nil, "/", time.Minute, sigv4.ErrSkew},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev, err := over(t, c.change, c.path, `{"a":1}`, time.Now().Add(c.at))
			if err == nil {
				err = sigv4.Verify(ev, keys, time.Now(), opts)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestEverySignedByteCounts(t *testing.T) {
	ev, err := over(t, nil, "/Operation?a=1", `{"a":1}`, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good, err := ev.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		e, err := sigv4.ParseEvidence(bad)
		if err == nil {
			err = sigv4.Verify(e, keys, time.Now(), opts)
		}
		if err == nil {
			t.Fatalf("byte %d (%q to %q) can be changed", i, good[i], bad[i])
		}
	}
}

func TestOnlySignedHeadersAreSeen(t *testing.T) {
	ev, err := over(t, func(r *http.Request) { r.Header.Set("X-Tenant", "other") }, "/", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := ev.Header("X-Tenant"); ok {
		t.Errorf("an unsigned header is seen: %q", v)
	}
	if _, ok := ev.Header("Host"); !ok {
		t.Error("a signed header is not seen")
	}
}

func TestBodyMustBeTheSignedOne(t *testing.T) {
	ev, err := over(t, nil, "/", "{}", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ev.WithBody([]byte("{ }")); !errors.Is(err, sigv4.ErrPayload) {
		t.Error(err)
	}
	if _, err := ev.WithBody([]byte("{}")); err != nil {
		t.Error(err)
	}
	if err := sigv4.Verify(sigv4.Evidence{}, keys, time.Now(), opts); err == nil {
		t.Error("no evidence verifies")
	}
}

func FuzzCapture(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", "/")
	f.Fuzz(func(t *testing.T, auth, target string) {
		r := &http.Request{Method: "GET", Host: "h", RequestURI: target, Header: http.Header{"Authorization": {auth}, "X-Amz-Date": {"20150830T123600Z"}}}
		if ev, _, err := sigv4.Capture(r, 10); err == nil && sigv4.Verify(ev, keys, ev.Time(), opts) == nil {
			t.Errorf("forged: %q %q", auth, target)
		}
	})
}

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
