package sigv4_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// Whoever stands between caller and service may write a signed target in
// another way that canonicalizes alike. What reaches the handler does not
// depend on it: neither the first of two values, nor the segments of a path,
// nor a parameter that nobody signed.
func TestHandlerSeesTheSignedTarget(t *testing.T) {
	t.Parallel()
	type seen struct{ first, target, path, uri, token, signature string }
	type how struct {
		o       sigv4.CaptureOptions
		service string
	}
	send := func(t *testing.T, target string, c how, mangle func(string) string) (s seen) {
		t.Helper()
		k := creds
		if c.service != "" {
			k.Service = c.service
		}
		h := must[http.Handler](t)(sigv4.NewHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			q := r.URL.Query()
			s = seen{q.Get("role"), r.URL.String(), r.URL.Path, r.RequestURI, q.Get("X-Amz-Security-Token"), q.Get("X-Amz-Signature")}
			if u, err := url.ParseRequestURI(r.RequestURI); err != nil || u.String() != s.target {
				t.Errorf("two targets: %s and %s", r.RequestURI, s.target)
			}
		}), yes{}, sigv4.HandlerOptions{Capture: c.o}))
		r := httptest.NewRequest("GET", target, nil)
		var err error
		if c.o.Presigned {
			err = sigv4.Presign(r, nil, k, time.Now(), time.Minute)
		} else {
			err = sigv4.SignRequest(r, nil, k, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
		uri := r.URL.RequestURI()
		if mangle != nil {
			if uri = mangle(uri); uri == r.URL.RequestURI() {
				t.Fatalf("nothing was changed: %s", uri)
			}
		}
		got := httptest.NewRequest("GET", uri, nil)
		got.Header, got.Host = r.Header, r.Host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, got); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return s
	}
	swap := func(from, to string) func(string) string {
		return func(s string) string { return strings.Replace(s, from, to, 1) }
	}
	for _, c := range []struct {
		name, target string
		how          how
		mangle       func(string) string
	}{
		{"two values", "/op?role=user&role=admin", how{}, swap("role=user&role=admin", "role=admin&role=user")},
		{"escapes that are not needed", "/op?role=user", how{}, swap("role=user", "%72ole=%75ser")},
		{"an empty parameter", "/op?role=user", how{}, swap("?", "?&&")},
		{"a slash of S3", "/bucket/key", how{sigv4.CaptureOptions{S3: true}, "s3"}, swap("/bucket/key", "/bucket%2Fkey")},
		{"a letter of S3", "/bucket/key", how{sigv4.CaptureOptions{S3: true}, "s3"}, swap("/key", "/%6bey")},
		{"a space of S3", "/bucket/a%20%2b", how{sigv4.CaptureOptions{S3: true}, "s3"}, swap("%2b", "+")},
		{"a token after signing", "/op?role=user", how{sigv4.CaptureOptions{Presigned: true, TokenAfterSigning: true}, ""}, swap("?", "?X-Amz-Security-Token=stolen&")},
		{"a signature twice", "/op?role=user", how{sigv4.CaptureOptions{Presigned: true}, ""}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := send(t, c.target, c.how, nil)
			if want.token != "" || want.signature != "" || !strings.Contains(c.target, "role") == (want.first != "") {
				t.Errorf("%+v", want)
			}
			if c.mangle == nil {
				return
			}
			if got := send(t, c.target, c.how, c.mangle); got != want && !c.how.o.Presigned || got.first != want.first || got.token != "" {
				t.Errorf("\n%+v became\n%+v", want, got)
			}
		})
	}
}

// A prefix that was stripped before stays stripped.
func TestHandlerBehindStripPrefix(t *testing.T) {
	t.Parallel()
	var path, raw, uri string
	h := must[http.Handler](t)(sigv4.NewHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		path, raw, uri = r.URL.Path, r.URL.EscapedPath(), r.RequestURI
	}), yes{}, sigv4.HandlerOptions{}))
	r := httptest.NewRequest("GET", "/api/a%2Fb?x=1", nil)
	if err := sigv4.SignRequest(r, nil, creds, time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	http.StripPrefix("/api", h).ServeHTTP(w, r)
	if w.Code != 200 || path != "/a/b" || raw != "/a%2Fb" || uri != "/api/a%2Fb?x=1" {
		t.Errorf("%d %s %s %s", w.Code, path, raw, uri)
	}
}

// byHand is evidence at a level and of a form that no request was captured in.
func byHand(t *testing.T, ev sigv4.Evidence, flags byte, canonical string, sig []byte) ([]byte, error) {
	t.Helper()
	b := append([]byte{1, flags}, ev.Time().Format("20060102T150405Z")...)
	for _, f := range []string{ev.AccessKeyID(), ev.Region(), ev.Service(), string(sig)} {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	if flags&4 != 0 {
		sum := sha256.Sum256([]byte(canonical))
		b = append(b, sum[:]...)
	} else {
		b = append(binary.AppendUvarint(b, uint64(len(canonical))), canonical...)
	}
	_, err := sigv4.ParseEvidence(b)
	return b, err
}

// At the level of a digest nobody can tell how a request was signed: whoever
// holds a presigned one can say less of it, and its end is forgotten.
func TestDigestDoesNotTellHowItWasSigned(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := httptest.NewRequest("GET", "/op", nil)
	if err := sigv4.Presign(r, nil, creds, at, time.Second); err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	ev, _, err := sigv4.CaptureWith(r, 10, sigv4.CaptureOptions{Presigned: true})
	if err != nil {
		t.Fatal(err)
	}
	whole := must[[]byte](t)(ev.MarshalBinary())
	canonical := whole[strings.Index(string(whole), "GET\n"):]
	sig := ev.Signature()
	b, err := byHand(t, ev, 4, string(canonical), sig[:])
	if err != nil {
		t.Fatal(err)
	}
	digest := must[sigv4.Evidence](t)(sigv4.ParseEvidence(b))
	if digest.Digest() != ev.Digest() {
		t.Fatal("not the digest of what was signed")
	}
	o := opts
	for least, want := range map[sigv4.Level]error{0: sigv4.ErrLevel, sigv4.LevelCanonical: sigv4.ErrLevel, sigv4.LevelDigest: nil} {
		o.MinLevel = least
		if err := verifier(t, o).Verify(digest, at.Add(time.Minute)); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("at level %s: %v, want %v", least, err, want)
		}
		if err := verifier(t, o).Verify(ev, at); !errors.Is(err, sigv4.ErrPresigned) {
			t.Errorf("what it is the digest of, at level %s: %v", least, err)
		}
	}
}

// Whoever holds a key can sign any text. What no request canonicalizes to is
// no evidence: two readers could read two things.
func TestEvidenceIsOfOneForm(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/op", nil)
	r.Host = "service.example"
	if err := sigv4.SignRequest(r, nil, creds, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	ev, _, err := sigv4.Capture(r, 10)
	if err != nil {
		t.Fatal(err)
	}
	const headers = "host:service.example\nx-amz-date:20260301T120000Z\n\nhost;x-amz-date\n"
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct {
		name, path, query string
		want              error
	}{
		{"the control", "/op", "a=1&a=2&b=", nil},
		{"escapes", "/op%2525", "a=%20&a=~", nil},
		{"no query", "/op", "", nil},
		{"unsorted names", "/op", "b=&a=1", sigv4.ErrMalformed},
		{"unsorted values", "/op", "a=2&a=1", sigv4.ErrMalformed},
		{"a parameter apart from its like", "/op", "X-Amz-Foo=1&X-Amz-Goo=1&X-Amz-Foo=2", sigv4.ErrMalformed},
		{"an escape that is not needed", "/op", "%61=1", sigv4.ErrMalformed},
		{"a lower-case escape", "/op", "a=%2f", sigv4.ErrMalformed},
		{"a broken escape", "/op", "a=%2", sigv4.ErrMalformed},
		{"no value", "/op", "a", sigv4.ErrMalformed},
		{"two equal signs", "/op", "a=1=2", sigv4.ErrMalformed},
		{"an empty parameter", "/op", "a=1&&b=2", sigv4.ErrMalformed},
		{"a parameter too few", "/op", "a=1&", sigv4.ErrMalformed},
		{"a path with an escape that is not needed", "/%6fp", "", sigv4.ErrMalformed},
		{"a path with a lower-case escape", "/o%2fp", "", sigv4.ErrMalformed},
		{"a path with a broken escape", "/op%2", "", sigv4.ErrMalformed},
	} {
		canonical := "GET\n" + c.path + "\n" + c.query + "\n" + headers + empty
		sig := must[[]byte](t)(hex.DecodeString(signByHand(canonical)))
		b, err := byHand(t, ev, 0, canonical, sig)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil {
			e := must[sigv4.Evidence](t)(sigv4.ParseEvidence(b))
			if err := verifier(t, opts).Verify(e, e.Time()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}
