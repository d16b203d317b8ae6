package sigv4_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
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
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	takesAll = sigv4.CaptureOptions{Presigned: true, UnsignedPayload: true, SigV4A: true}
)

func allowsAll() sigv4.Options {
	o := opts
	o.Presigned, o.UnsignedPayload, o.SigV4A, o.MinLevel = maxLife, true, true, sigv4.LevelDigest
	return o
}

// signed makes evidence of a request that sign signs.
func signed(t testing.TB, body string, o sigv4.CaptureOptions, sign func(*http.Request, []byte) error) (sigv4.Evidence, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://service.example/op?a=1", strings.NewReader(body))
	if err := sign(r, []byte(body)); err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	ev, _, err := sigv4.CaptureWith(r, 1<<16, o)
	return ev, err
}

func byHeader(c sigv4.Credentials) func(*http.Request, []byte) error {
	return func(r *http.Request, b []byte) error { return sigv4.SignRequest(r, b, c, noon) }
}

func byQuery(c sigv4.Credentials, life time.Duration) func(*http.Request, []byte) error {
	return func(r *http.Request, b []byte) error { return sigv4.Presign(r, b, c, noon, life) }
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func verifier(t testing.TB, o sigv4.Options) *sigv4.Verifier {
	t.Helper()
	return must[*sigv4.Verifier](t)(sigv4.NewVerifier(func(id string) (sigv4.Key, bool) {
		return sigv4.Key{Secret: secret}, id == "AKIDEXAMPLE"
	}, o))
}

// What lowers security is switched on twice: where requests are read, and
// where evidence is verified.
func TestOptIn(t *testing.T) {
	t.Parallel()
	set := creds
	set.RegionSet = "us-east-1"
	for _, c := range []struct {
		name        string
		sign        func(*http.Request, []byte) error
		read, check error
		off         func(*sigv4.CaptureOptions, *sigv4.Options)
	}{
		{"presigned", byQuery(creds, time.Minute), sigv4.ErrPresigned, sigv4.ErrPresigned,
			func(c *sigv4.CaptureOptions, o *sigv4.Options) { c.Presigned, o.Presigned = false, 0 }},
		{"SigV4A", byHeader(set), sigv4.ErrAlgorithm, sigv4.ErrAlgorithm,
			func(c *sigv4.CaptureOptions, o *sigv4.Options) { c.SigV4A, o.SigV4A = false, false }},
		{"unsigned payload", unsignedPayload, sigv4.ErrUnsignedPayload, sigv4.ErrUnsignedPayload,
			func(c *sigv4.CaptureOptions, o *sigv4.Options) { c.UnsignedPayload, o.UnsignedPayload = false, false }},
	} {
		on, off, yes, no := takesAll, takesAll, allowsAll(), allowsAll()
		c.off(&off, &no)
		if _, err := signed(t, "{}", off, c.sign); !errors.Is(err, c.read) {
			t.Errorf("%s is read: %v", c.name, err)
		}
		ev := must[sigv4.Evidence](t)(signed(t, "{}", on, c.sign))
		if err := verifier(t, no).Verify(ev, noon); !errors.Is(err, c.check) {
			t.Errorf("%s is verified: %v", c.name, err)
		}
		if err := verifier(t, yes).Verify(ev, noon); err != nil {
			t.Errorf("%s, the control: %v", c.name, err)
		}
		back := must[sigv4.Evidence](t)(sigv4.ParseEvidence(must[[]byte](t)(ev.MarshalBinary())))
		if err := verifier(t, no).Verify(back, noon); !errors.Is(err, c.check) {
			t.Errorf("%s is verified after the wire: %v", c.name, err)
		}
		if err := verifier(t, yes).Verify(back, noon); err != nil {
			t.Errorf("%s, the control after the wire: %v", c.name, err)
		}
	}
	if ev, err := signed(t, "{}", takesAll, unsignedPayload); err != nil || ev.PayloadSigned() || ev.PayloadHash() != [32]byte{} {
		t.Errorf("an unsigned payload seems signed: %v", err)
	} else if _, err := ev.WithBody([]byte("{}")); !errors.Is(err, sigv4.ErrUnsignedPayload) {
		t.Errorf("evidence carries a body that nobody signed: %v", err)
	}
}

// unsignedPayload signs as S3 clients do, with the path of another service.
func unsignedPayload(r *http.Request, _ []byte) error {
	c := creds
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	r.Header.Set("X-Amz-Date", noon.Format("20060102T150405Z"))
	list := "host;x-amz-content-sha256;x-amz-date"
	canonical := "POST\n/op\na=1\nhost:service.example\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20260301T120000Z\n\n" + list + "\nUNSIGNED-PAYLOAD"
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.AccessKeyID+"/20260301/us-east-1/service/aws4_request, SignedHeaders="+list+", Signature="+signByHand(canonical))
	return nil
}

func TestPresignedEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		life, most time.Duration
		at         time.Duration
		want       error
	}{
		{"at once", time.Minute, maxLife, 0, nil},
		{"at its end", time.Minute, maxLife, time.Minute, nil},
		{"after its end", time.Minute, maxLife, time.Minute + time.Second, sigv4.ErrExpired},
		{"after a shorter maximum", time.Hour, time.Minute, 61 * time.Second, sigv4.ErrExpired},
		{"at a shorter maximum", time.Hour, time.Minute, time.Minute, nil},
		{"the maximum does not prolong it", time.Second, time.Hour, 2 * time.Second, sigv4.ErrExpired},
		{"a week", maxLife, 30 * maxLife, maxLife, nil},
		{"more than a week", maxLife, 30 * maxLife, maxLife + time.Second, sigv4.ErrExpired},
		{"before its time", maxLife, maxLife, -time.Minute, sigv4.ErrSkew},
		{"years before its time", maxLife, maxLife, -100000 * time.Hour, sigv4.ErrSkew},
	} {
		ev := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, byQuery(creds, c.life)))
		if life, ok := ev.Presigned(); !ok || life != c.life {
			t.Errorf("%s: %v %v", c.name, life, ok)
		}
		o := opts
		o.Presigned = c.most
		if err := verifier(t, o).Verify(ev, noon.Add(c.at)); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	for _, life := range []time.Duration{0, -time.Second, time.Second - 1, maxLife + time.Second} {
		r := httptest.NewRequest("GET", "/", nil)
		if err := sigv4.Presign(r, nil, creds, noon, life); !errors.Is(err, sigv4.ErrExpires) || r.URL.RawQuery != "" {
			t.Errorf("%s: %v", life, err)
		}
	}
	// Two dates, both signed, are one too many.
	if _, err := signed(t, "", takesAll, func(r *http.Request, b []byte) error {
		r.Header.Set("X-Amz-Date", "20260301T120000Z")
		return sigv4.Presign(r, b, creds, noon, time.Minute)
	}); !errors.Is(err, sigv4.ErrBothAuth) {
		t.Error(err)
	}
	r := httptest.NewRequest("GET", "/?x-amz-date=1", nil)
	if err := sigv4.Presign(r, nil, creds, noon, time.Minute); !errors.Is(err, sigv4.ErrDuplicated) {
		t.Error(err)
	}
}

// Less evidence proves less, and is taken only where it was asked for.
func TestLevels(t *testing.T) {
	t.Parallel()
	ev := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, byHeader(creds)))
	withBody := must[sigv4.Evidence](t)(ev.WithBody([]byte("{}")))
	short := must[sigv4.Evidence](t)(withBody.AtLevel(sigv4.LevelDigest))
	for have, e := range map[sigv4.Level]sigv4.Evidence{sigv4.LevelDigest: short, sigv4.LevelCanonical: ev, sigv4.LevelBody: withBody} {
		if e.Level() != have || e.Digest() != ev.Digest() || e.Signature() != ev.Signature() {
			t.Errorf("%s is %s", have, e.Level())
		}
		for least, o := range map[sigv4.Level]sigv4.Options{0: opts, sigv4.LevelDigest: {}, sigv4.LevelCanonical: {}, sigv4.LevelBody: {}, 9: {}} {
			o.Region, o.Service, o.MinLevel = opts.Region, opts.Service, least
			want := sigv4.ErrLevel
			if have >= least && (have > sigv4.LevelDigest || least > 0) {
				want = nil
			}
			if err := verifier(t, o).Verify(e, noon); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s where %d is needed: got %v, want %v", have, least, err, want)
			}
		}
	}
	b := must[[]byte](t)(short.MarshalBinary())
	if len(b) > 200 || short.Path() != "" || short.Method() != "" || short.Query() != "" || short.PayloadSigned() {
		t.Errorf("%d bytes, %q", len(b), short.Path())
	}
	if _, ok := short.Header("host"); ok {
		t.Error("a header is seen")
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		e, err := sigv4.ParseEvidence(bad)
		if err == nil {
			err = verifier(t, allowsAll()).Verify(e, noon)
		}
		if err == nil {
			t.Errorf("byte %d of digest evidence can be changed", i)
		}
	}
	set := creds
	set.RegionSet = "us-east-1"
	presigned := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, byQuery(creds, time.Minute)))
	asymmetric := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, byHeader(set)))
	for name, f := range map[string]func() (sigv4.Evidence, error){
		"presigned, at digest":   func() (sigv4.Evidence, error) { return presigned.AtLevel(sigv4.LevelDigest) },
		"SigV4A, at digest":      func() (sigv4.Evidence, error) { return asymmetric.AtLevel(sigv4.LevelDigest) },
		"up from digest":         func() (sigv4.Evidence, error) { return short.AtLevel(sigv4.LevelCanonical) },
		"up to a body":           func() (sigv4.Evidence, error) { return ev.AtLevel(sigv4.LevelBody) },
		"to nothing":             func() (sigv4.Evidence, error) { return ev.AtLevel(0) },
		"from nothing":           func() (sigv4.Evidence, error) { return sigv4.Evidence{}.AtLevel(sigv4.LevelDigest) },
		"a body for the digest":  func() (sigv4.Evidence, error) { return short.WithBody([]byte("{}")) },
		"a body for no evidence": func() (sigv4.Evidence, error) { return sigv4.Evidence{}.WithBody(nil) },
	} {
		if got, err := f(); !errors.Is(err, sigv4.ErrLevel) || !got.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that is exchanged, destroyed or withdrawn verifies nothing more, cached
// or not.
func TestKeysThatChange(t *testing.T) {
	t.Parallel()
	text := []byte("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
	mine := tenant.NewSecret(slices.Clone(text))
	now, known := sigv4.Key{Secret: mine}, true
	v := must[*sigv4.Verifier](t)(sigv4.NewVerifier(func(string) (sigv4.Key, bool) { return now, known }, allowsAll()))
	set := creds
	set.RegionSet = "*"
	for name, c := range map[string]sigv4.Credentials{"SigV4": creds, "SigV4A": set} {
		now, known = sigv4.Key{Secret: tenant.NewSecret(slices.Clone(text))}, true
		ev := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, byHeader(c)))
		ok := func(what string) {
			t.Helper()
			for range 2 { // derived, then cached
				if err := v.Verify(ev, noon); err != nil {
					t.Errorf("%s, %s: %v", name, what, err)
				}
			}
		}
		no := func(what string) {
			t.Helper()
			if err := v.Verify(ev, noon); !errors.Is(err, sigv4.ErrSignature) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		ok("the control")
		before := now
		now = sigv4.Key{Secret: tenant.NewSecret([]byte("another secret of the same access key....."))}
		no("exchanged")
		now = before
		ok("put back")
		known = false
		no("withdrawn")
		known = true
		v.Wipe()
		ok("after Wipe")
		now = sigv4.Key{Secret: tenant.NewSecret(slices.Clone(text))}
		ok("the same bytes anew")
		now.Secret.Destroy()
		no("destroyed")
		now = sigv4.Key{}
		no("no secret")
	}
}

// Who holds public keys verifies, and the derivation is the published one.
func TestSigV4A(t *testing.T) {
	t.Parallel()
	public := must[*ecdsa.PublicKey](t)(sigv4.PublicKey("AKIDEXAMPLE", secret))
	raw := must[[]byte](t)(public.Bytes())
	// The public key of awslabs/aws-c-auth's suite.
	const x, y = "b6618f6a65740a99e650b33b6b4b5bd0d43b176d721a3edfea7e7d2d56d936b1", "865ed22a7eadc9c5cb9d2cbaca1b3699139fedc5043dc6661864218330c8e518"
	if hex.EncodeToString(raw) != "04"+x+y {
		t.Errorf("derived %x", raw)
	}
	if _, err := sigv4.PublicKey("AKIDEXAMPLE", tenant.Secret{}); !errors.Is(err, tenant.ErrDestroyed) {
		t.Error(err)
	}
	other := must[*ecdsa.PublicKey](t)(sigv4.PublicKey("AKIDEXAMPLF", secret))
	p384 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	for _, c := range []struct {
		set  string
		want error
	}{
		{"us-east-1", nil}, {"*", nil}, {"us-*", nil}, {"eu-west-1,us-east-1", nil}, {"eu-*,us-east-*", nil},
		{"us-east-2", sigv4.ErrScope}, {"eu-*", sigv4.ErrScope}, {"us-east-11", sigv4.ErrScope}, {"us-east", sigv4.ErrScope},
		{"*-1", sigv4.ErrScope}, {"east-*", sigv4.ErrScope}, {"us-*-1", sigv4.ErrScope}, {"us-west-*,eu-*", sigv4.ErrScope},
	} {
		set := creds
		set.RegionSet = c.set
		for name, sign := range map[string]func(*http.Request, []byte) error{"header": byHeader(set), "query": byQuery(set, time.Minute)} {
			ev := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, sign))
			if ev.Region() != c.set || !ev.SigV4A() || ev.Signature() != ev.Digest() {
				t.Errorf("%s: %q", name, ev.Region())
			}
			for kind, k := range map[string]sigv4.Key{"public": {Public: public}, "secret": {Secret: secret}} {
				v := must[*sigv4.Verifier](t)(sigv4.NewVerifier(func(string) (sigv4.Key, bool) { return k, true }, allowsAll()))
				if err := v.Verify(ev, noon); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("%s for %s with the %s key: got %v, want %v", name, c.set, kind, err, c.want)
				}
			}
			for kind, k := range map[string]sigv4.Key{
				"another public key": {Public: other}, "another beside the secret": {Public: other, Secret: secret},
				"none": {}, "another curve": {Public: &p384.PublicKey},
			} {
				v := must[*sigv4.Verifier](t)(sigv4.NewVerifier(func(string) (sigv4.Key, bool) { return k, true }, allowsAll()))
				if err := v.Verify(ev, noon); !errors.Is(err, sigv4.ErrSignature) {
					t.Errorf("%s with %s: %v", name, kind, err)
				}
			}
			if err := verifier(t, allowsAll()).VerifyKey(ev, sigv4.Key{Public: public}, false, noon); !errors.Is(err, sigv4.ErrSignature) {
				t.Errorf("%s, not known: %v", name, err)
			}
		}
	}
	// A public key verifies no HMAC.
	v := must[*sigv4.Verifier](t)(sigv4.NewVerifier(func(string) (sigv4.Key, bool) { return sigv4.Key{Public: public}, true }, allowsAll()))
	ev := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, byHeader(creds)))
	if err := v.Verify(ev, noon); !errors.Is(err, sigv4.ErrSignature) {
		t.Error(err)
	}
}

func TestConstructors(t *testing.T) {
	t.Parallel()
	keys := func(string) (sigv4.Key, bool) { return sigv4.Key{}, false }
	for name, f := range map[string]func() (*sigv4.Verifier, error){
		"no keys":    func() (*sigv4.Verifier, error) { return sigv4.NewVerifier(nil, opts) },
		"no region":  func() (*sigv4.Verifier, error) { return sigv4.NewVerifier(keys, sigv4.Options{Service: "s"}) },
		"no service": func() (*sigv4.Verifier, error) { return sigv4.NewVerifier(keys, sigv4.Options{Region: "r"}) },
	} {
		if v, err := f(); !errors.Is(err, sigv4.ErrConfig) || v != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	v := must[*sigv4.Verifier](t)(sigv4.NewVerifier(keys, opts))
	if err := v.Verify(sigv4.Evidence{}, noon); !errors.Is(err, sigv4.ErrNoSignature) {
		t.Error(err)
	}
	if err := v.VerifyKey(sigv4.Evidence{}, sigv4.Key{Secret: secret}, true, noon); !errors.Is(err, sigv4.ErrNoSignature) {
		t.Error(err)
	}
}
