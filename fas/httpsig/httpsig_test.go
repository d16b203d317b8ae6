package httpsig_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/httpsig"
)

const body = `{"a":1}`

var (
	private = ed25519.NewKeyFromSeed([]byte("a seed of thirty-two characters!"))
	signer  = httpsig.Key{ID: "acme/alice-1", Private: private}
)

func keys(id string) (ed25519.PublicKey, bool) {
	return private.Public().(ed25519.PublicKey), id == signer.ID
}

// sent is a signed request on its way to a real server, which captures it.
type sent struct {
	t   testing.TB
	srv *httptest.Server
	ev  httpsig.Evidence
	err error
	got []byte
}

func server(t testing.TB) *sent {
	t.Helper()
	s := &sent{t: t}
	s.srv = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { s.ev, s.got, s.err = httpsig.Capture(r, 1<<16) }))
	t.Cleanup(s.srv.Close)
	return s
}

func (s *sent) options() httpsig.Options {
	return httpsig.Options{Authorities: []string{strings.TrimPrefix(s.srv.URL, "http://")}}
}

// do signs, changes and sends a request, and verifies what arrived.
func (s *sent) do(path string, at time.Time, before, after func(*http.Request)) error {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.srv.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Target", "Operation")
	if before != nil {
		before(r)
	}
	if err := httpsig.SignRequest(r, []byte(body), signer, at, "X-Amz-Target"); err != nil {
		s.t.Fatal(err)
	}
	if after != nil {
		after(r)
	}
	s.ev, s.got, s.err = httpsig.Evidence{}, nil, errors.New("nothing arrived")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	if s.err != nil {
		return s.err
	}
	return httpsig.Verify(s.ev, keys, time.Now(), s.options())
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	s := server(t)
	for _, path := range []string{"/Operation", "/a%20b", "/x?b=2&a=1&a=0", "/x?", "/x?empty=&flag", "/%E1%88%B4", "/a;b", "/", "/a+b?c+d=%2F"} {
		if err := s.do(path, time.Now(), nil, nil); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		ev := s.ev
		wantPath, wantQuery, _ := strings.Cut(path, "?")
		if ev.Method() != "POST" || ev.Path() != wantPath || ev.Query() != wantQuery || ev.KeyID() != signer.ID || string(s.got) != body {
			t.Errorf("%s: captured %s %s?%s", path, ev.Method(), ev.Path(), ev.Query())
		}
		ev, err := ev.WithBody([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := ev.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back, err := httpsig.ParseEvidence(b)
		if err != nil || back.Digest() != ev.Digest() || back.Once() != ev.Once() || back.Path() != ev.Path() || string(back.Body()) != body {
			t.Errorf("%s: not the same after the wire: %v", path, err)
		}
		if err := httpsig.Verify(back, keys, time.Now(), s.options()); err != nil {
			t.Errorf("%s: %v after the wire", path, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := server(t)
	set := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	add := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Add(k, v) } }
	del := func(k string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(k) } }
	input := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			was := r.Header.Get("Signature-Input")
			now := strings.Replace(was, from, to, 1)
			if was == now {
				t.Errorf("%q has no %q", was, from)
			}
			r.Header.Set("Signature-Input", now)
		}
	}
	twice := func(k string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set(k, r.Header.Get(k)+", "+strings.Replace(r.Header.Get(k), "sig1", "sig2", 1))
		}
	}
	past := func(r *http.Request) { r.URL.Opaque = "/a" }
	many := ""
	for i := range 65 {
		many += fmt.Sprintf(` "x%d"`, i)
	}
	for _, c := range []struct {
		name  string
		after func(*http.Request)
		at    time.Duration
		want  error
	}{
		{"unsigned", func(r *http.Request) { del("Signature")(r); del("Signature-Input")(r) }, 0, httpsig.ErrNoSignature},
		{"no signature", del("Signature"), 0, httpsig.ErrMalformed},
		{"no input", del("Signature-Input"), 0, httpsig.ErrMalformed},
		{"two Signature fields", add("Signature", "sig2=::"), 0, httpsig.ErrSignatures},
		{"two Signature-Input fields", add("Signature-Input", "sig2=()"), 0, httpsig.ErrSignatures},
		{"two signatures in one field", twice("Signature"), 0, httpsig.ErrSignatures},
		{"two inputs in one field", twice("Signature-Input"), 0, httpsig.ErrSignatures},
		{"other label", input("sig1", "sig2"), 0, httpsig.ErrMalformed},
		{"upper-case label", func(r *http.Request) {
			input("sig1", "Sig1")(r)
			r.Header.Set("Signature", strings.Replace(r.Header.Get("Signature"), "sig1", "Sig1", 1))
		}, 0, httpsig.ErrMalformed},
		{"not a list", input("(", ""), 0, httpsig.ErrMalformed},
		{"two spaces", input(`" "`, `"  "`), 0, httpsig.ErrMalformed},
		{"space before a parameter", input(";nonce", "; nonce"), 0, httpsig.ErrMalformed},
		{"escape in a string", input(`nonce="`, `nonce="\\`), 0, httpsig.ErrMalformed},
		{"empty nonce", input(`keyid="acme/alice-1"`, `keyid=""`), 0, httpsig.ErrMalformed},
		{"long key id", input(`keyid="`, `keyid="`+strings.Repeat("k", 257)), 0, httpsig.ErrMalformed},
		{"created as a string", input("created=", `created="1";x=`), 0, httpsig.ErrMalformed},
		{"created with a zero before", input("created=", "created=0"), 0, httpsig.ErrMalformed},
		{"negative created", input("created=", "created=-"), 0, httpsig.ErrMalformed},
		{"fraction", input(";nonce", ".0;nonce"), 0, httpsig.ErrMalformed},
		{"component unknown", input(`"@path"`, `"@request-target"`), 0, httpsig.ErrComponent},
		{"component of the response", input(`"@path"`, `"@status"`), 0, httpsig.ErrComponent},
		{"component with a parameter", input(`"@path"`, `"@path";req`), 0, httpsig.ErrComponent},
		{"component twice", input(`"@path"`, `"@method"`), 0, httpsig.ErrComponent},
		{"upper-case component", input(`"content-type"`, `"Content-Type"`), 0, httpsig.ErrComponent},
		{"host as a header", input(`"content-type"`, `"host"`), 0, httpsig.ErrComponent},
		{"the signature itself", input(`"content-type"`, `"signature"`), 0, httpsig.ErrComponent},
		{"hop by hop", input(`"content-type"`, `"connection"`), 0, httpsig.ErrComponent},
		{"method not signed", input(`"@method" `, ""), 0, httpsig.ErrNotSigned},
		{"authority not signed", input(`"@authority" `, ""), 0, httpsig.ErrNotSigned},
		{"path not signed", input(`"@path" `, ""), 0, httpsig.ErrNotSigned},
		{"query not signed", input(`"@query" `, ""), 0, httpsig.ErrNotSigned},
		{"body not signed", input(` "content-digest"`, ""), 0, httpsig.ErrNotSigned},
		{"nothing signed", input(`"@method" "@authority" "@path" "@query" "content-digest" "content-type" "x-amz-target"`, ""), 0, httpsig.ErrNotSigned},
		{"content type not signed", input(` "content-type"`, ""), 0, httpsig.ErrNotSigned},
		{"content encoding added", set("Content-Encoding", "gzip"), 0, httpsig.ErrNotSigned},
		{"signed header absent", del("X-Amz-Target"), 0, httpsig.ErrMalformed},
		{"no nonce", func(r *http.Request) {
			i := r.Header.Get("Signature-Input")
			from, to := strings.Index(i, ";nonce"), strings.Index(i, ";keyid")
			r.Header.Set("Signature-Input", i[:from]+i[to:])
		}, 0, httpsig.ErrParameter},
		{"no key id", input(`;keyid="acme/alice-1"`, ""), 0, httpsig.ErrParameter},
		{"no algorithm", input(`;alg="ed25519"`, ""), 0, httpsig.ErrParameter},
		{"a tag", input(`;alg=`, `;tag="t";alg=`), 0, httpsig.ErrParameter},
		{"nonce twice", input(`;alg=`, `;nonce="n";alg=`), 0, httpsig.ErrParameter},
		{"expires before created", input(`;alg=`, `;expires=1;alg=`), 0, httpsig.ErrParameter},
		{"HMAC", input("ed25519", "hmac-sha256"), 0, httpsig.ErrAlgorithm},
		{"ECDSA", input("ed25519", "ecdsa-p256-sha256"), 0, httpsig.ErrAlgorithm},
		{"digest with SHA-512", set("Content-Digest", "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"), 0, httpsig.ErrPayload},
		{"two digests in one field", func(r *http.Request) { d := r.Header.Get("Content-Digest"); r.Header.Set("Content-Digest", d+", "+d) }, 0, httpsig.ErrPayload},
		{"two Content-Digest fields", add("Content-Digest", "x"), 0, httpsig.ErrMalformed},
		{"digest of another body", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("{}")), 2 }, 0, httpsig.ErrPayload},
		{"no body", func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }, 0, httpsig.ErrPayload},
		{"body too large", func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat(" ", 1<<16+1))), 1<<16+1
		}, 0, httpsig.ErrTooLarge},
		{"too many components", input(`"content-type"`, `"content-type"`+many), 0, httpsig.ErrTooLarge},
		{"header beyond ASCII", set("X-Amz-Target", "\u00e9"), 0, httpsig.ErrMalformed},
		{"changed content type", set("Content-Type", "text/plain"), 0, httpsig.ErrSignature},
		{"signed header twice", add("X-Amz-Target", "Other"), 0, httpsig.ErrSignature},
		{"changed path", past, 0, httpsig.ErrSignature},
		{"changed query", func(r *http.Request) { r.URL.RawQuery = "a=1" }, 0, httpsig.ErrSignature},
		{"changed method", func(r *http.Request) { r.Method = http.MethodPut }, 0, httpsig.ErrSignature},
		{"changed host", func(r *http.Request) { r.Host = "other" }, 0, httpsig.ErrSignature},
		{"unknown key", input("alice-1", "alice-2"), 0, httpsig.ErrSignature},
		{"changed nonce", input(`nonce="`, `nonce="n`), 0, httpsig.ErrSignature},
		{"expires added", input(`;alg=`, `;expires=99999999999;alg=`), 0, httpsig.ErrSignature},
		{"other order", input(`"@path" "@query"`, `"@query" "@path"`), 0, httpsig.ErrSignature},
		{"dotted path", func(r *http.Request) { r.URL.Opaque = "/a/../b" }, 0, httpsig.ErrAmbiguousPath},
		{"encoded dots", func(r *http.Request) { r.URL.Opaque = "/a/%2e%2E/b" }, 0, httpsig.ErrAmbiguousPath},
		{"encoded slash", func(r *http.Request) { r.URL.Opaque = "/a%2fb" }, 0, httpsig.ErrAmbiguousPath},
		{"double slash", func(r *http.Request) { r.URL.Opaque = "/a//b" }, 0, httpsig.ErrAmbiguousPath},
		{"trailing slash", func(r *http.Request) { r.URL.Opaque = "/a/" }, 0, httpsig.ErrAmbiguousPath},
		{"absolute target", func(r *http.Request) { r.URL.Opaque = "//" + r.URL.Host + "/a" }, 0, httpsig.ErrMalformed},
		{"too old", nil, -6 * time.Minute, httpsig.ErrSkew},
		{"from the future", nil, time.Minute, httpsig.ErrSkew},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := s.do("/Operation", time.Now().Add(c.at), nil, c.after); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := s.do("/Operation", time.Now(), nil, nil); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// Every byte of every signed element, on the wire and in the evidence.
func TestEverySignedByteCounts(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/Operation?a=1", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Amz-Target", "Operation")
	if err := httpsig.SignRequest(r, []byte(body), signer, time.Now(), "X-Amz-Target"); err != nil {
		t.Fatal(err)
	}
	o := httpsig.Options{Authorities: []string{"example.com"}}
	tried := 0
	try := func(what string, changed *http.Request) {
		tried++
		changed.Body = io.NopCloser(strings.NewReader(body))
		ev, _, err := httpsig.Capture(changed, 1<<10)
		if err == nil {
			err = httpsig.Verify(ev, keys, time.Now(), o)
		}
		if (err == nil) != (what == "") {
			t.Errorf("%s: %v", what, err)
		}
	}
	try("", r.Clone(t.Context()))
	for _, h := range []string{"Content-Type", "X-Amz-Target", "Content-Digest", "Signature-Input", "Signature"} {
		v := r.Header.Get(h)
		for i := range v {
			label := strings.HasPrefix(h, "Signature") && i < len("sig1")
			for bit := range 8 {
				c := r.Clone(t.Context())
				b := []byte(v)
				b[i] ^= 1 << bit
				if label && strings.ContainsAny(string(b[i]), "=") {
					continue
				}
				c.Header.Set(h, string(b))
				try(h+" "+string(b), c)
			}
		}
	}
	for i := range r.RequestURI {
		for bit := range 8 {
			c, b := r.Clone(t.Context()), []byte(r.RequestURI)
			b[i] ^= 1 << bit
			c.RequestURI = string(b)
			try(c.RequestURI, c)
		}
	}
	ev, _, err := httpsig.Capture(r, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	good, err := ev.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			tried++
			e, err := httpsig.ParseEvidence(bad)
			if err == nil {
				err = httpsig.Verify(e, keys, time.Now(), o)
			}
			if err == nil && e.Digest() != ev.Digest() {
				t.Fatalf("byte %d (%q to %q) can be changed", i, good[i], bad[i])
			}
		}
	}
	if tried < 5000 {
		t.Errorf("only %d changes tried", tried)
	}
}

// What is not signed does not hinder a call, and cannot be read.
func TestUnsignedElementsAreNotSeen(t *testing.T) {
	t.Parallel()
	s := server(t)
	for _, h := range []string{"X-Tenant", "X-Amz-Date", "Authorization", "Cookie", "X-Forwarded-Host", "X-Forwarded-User", "Forwarded", "Date", "Accept", "Range", "Digest"} {
		if err := s.do("/Operation", time.Now(), nil, func(r *http.Request) { r.Header.Set(h, "other") }); err != nil {
			t.Errorf("%s: %v", h, err)
		}
		if v, ok := s.ev.Header(h); ok {
			t.Errorf("an unsigned header is seen: %s is %q", h, v)
		}
	}
	if v, ok := s.ev.Header("X-Amz-Target"); !ok || v != "Operation" {
		t.Error("a signed header is not seen")
	}
	if _, ok := s.ev.Header("@method"); ok {
		t.Error("a derived component is taken for a header")
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	s := server(t)
	if err := s.do("/Operation", time.Now(), nil, nil); err != nil {
		t.Fatal(err)
	}
	o := s.options()
	o.MaxPast, o.MaxFuture = time.Hour, time.Hour
	for _, c := range []struct {
		off  time.Duration
		want error
	}{{0, nil}, {14 * time.Minute, nil}, {16 * time.Minute, httpsig.ErrSkew}, {-14 * time.Minute, nil}, {-16 * time.Minute, httpsig.ErrSkew}} {
		if err := httpsig.Verify(s.ev, keys, s.ev.Time().Add(c.off), o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.off, err, c.want)
		}
	}
}

func TestVerifyNeedsItsParts(t *testing.T) {
	t.Parallel()
	s := server(t)
	if err := s.do("/Operation", time.Now(), nil, nil); err != nil {
		t.Fatal(err)
	}
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	for _, c := range []struct {
		name string
		ev   httpsig.Evidence
		key  func(string) (ed25519.PublicKey, bool)
		o    httpsig.Options
		want error
	}{
		{"the zero evidence", httpsig.Evidence{}, keys, s.options(), httpsig.ErrNoSignature},
		{"no keys", s.ev, nil, s.options(), httpsig.ErrNoSignature},
		{"no host", s.ev, keys, httpsig.Options{}, httpsig.ErrNoSignature},
		{"another host", s.ev, keys, httpsig.Options{Authorities: []string{"other.example"}}, httpsig.ErrAuthority},
		{"a short key", s.ev, func(string) (ed25519.PublicKey, bool) { return make([]byte, 31), true }, s.options(), httpsig.ErrSignature},
		{"no key that is known", s.ev, func(string) (ed25519.PublicKey, bool) { return nil, true }, s.options(), httpsig.ErrSignature},
		{"another's key", s.ev, func(string) (ed25519.PublicKey, bool) { return other, true }, s.options(), httpsig.ErrSignature},
	} {
		if err := httpsig.Verify(c.ev, c.key, time.Now(), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	// Nobody has the key that stands for unknown ones, although all know it.
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	if err := httpsig.SignRequest(r, nil, httpsig.Key{ID: "nobody", Private: ed25519.NewKeyFromSeed(make([]byte, 32))}, time.Now()); err != nil {
		t.Fatal(err)
	}
	ev, _, err := httpsig.Capture(r, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := httpsig.Verify(ev, keys, time.Now(), httpsig.Options{Authorities: []string{"example.com"}}); !errors.Is(err, httpsig.ErrSignature) {
		t.Errorf("signed with the stand-in: %v", err)
	}
}

func TestBodyMustBeTheSignedOne(t *testing.T) {
	t.Parallel()
	s := server(t)
	if err := s.do("/Operation", time.Now(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ev.WithBody([]byte("{ }")); !errors.Is(err, httpsig.ErrPayload) {
		t.Error(err)
	}
	if _, err := s.ev.WithBody(make([]byte, httpsig.MaxBody+1)); !errors.Is(err, httpsig.ErrTooLarge) {
		t.Error(err)
	}
	if e, err := s.ev.WithBody([]byte(body)); err != nil || string(e.Body()) != body {
		t.Error(err)
	}
}

func TestNothingFollowsEvidence(t *testing.T) {
	t.Parallel()
	s := server(t)
	if err := s.do("/Operation", time.Now(), nil, nil); err != nil {
		t.Fatal(err)
	}
	b, err := s.ev.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []string{"}", "]", "{}", "x", ",", "\x00", string(b)} {
		if _, err := httpsig.ParseEvidence([]byte(string(b) + after)); !errors.Is(err, httpsig.ErrMalformed) {
			t.Errorf("followed by %.8q: %v", after, err)
		}
	}
	if _, err := httpsig.ParseEvidence(append(b, '\n')); err != nil {
		t.Error(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]any{"g": "AAAA", "x": 1, "b": "AAAA", "s": "GET / HTTP/1.1"} {
		was, had := fields[name]
		fields[name] = change
		bad, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := httpsig.ParseEvidence(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
		if delete(fields, name); had {
			fields[name] = was
		}
	}
	if _, err := (httpsig.Evidence{}).MarshalBinary(); !errors.Is(err, httpsig.ErrNoSignature) {
		t.Error(err)
	}
}

func TestSignerRefuses(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		key    httpsig.Key
		url    string
		header string
		want   error
	}{
		{"no key", httpsig.Key{ID: "k"}, "http://h/", "", httpsig.ErrConfig},
		{"no id", httpsig.Key{Private: private}, "http://h/", "", httpsig.ErrConfig},
		{"another curve", httpsig.Key{ID: "k", Private: curve}, "http://h/", "", httpsig.ErrAlgorithm},
		{"a quotation mark in the id", httpsig.Key{ID: `k";tag="x`, Private: private}, "http://h/", "", httpsig.ErrParameter},
		{"a line break in the id", httpsig.Key{ID: "k\n", Private: private}, "http://h/", "", httpsig.ErrMalformed},
		{"ambiguous path", signer, "http://h/a/../b", "", httpsig.ErrAmbiguousPath},
		{"a header that is not kept", signer, "http://h/", "Connection", httpsig.ErrComponent},
		{"a line break in a header", signer, "http://h/", "X-Injected", httpsig.ErrMalformed},
		{"the control", signer, "http://h/", "X-Plain", nil},
	} {
		r := httptest.NewRequest(http.MethodPost, c.url, nil)
		r.Header.Set("Connection", "close")
		r.Header.Set("X-Plain", "v")
		r.Header["X-Injected"] = []string{"v\n\"@path\": /other"}
		if err := httpsig.SignRequest(r, nil, c.key, time.Now(), c.header); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// remote is a key that is not in this process's hands.
type remote struct{ ed25519.PrivateKey }

func (r remote) Public() crypto.PublicKey { return r.PrivateKey.Public() }

func TestTransport(t *testing.T) {
	t.Parallel()
	s := server(t)
	for _, private := range []crypto.Signer{private, remote{private}} {
		c := http.Client{Transport: &httpsig.Transport{Key: httpsig.Key{ID: signer.ID, Private: private}, Headers: []string{"X-Amz-Target"}}}
		seen := map[[32]byte]bool{}
		for _, content := range []string{body, body, ""} {
			r, err := http.NewRequest(http.MethodPost, s.srv.URL+"/Operation", strings.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Amz-Target", "Operation")
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if s.err != nil || string(s.got) != content || httpsig.Verify(s.ev, keys, time.Now(), s.options()) != nil {
				t.Errorf("%q: %v", content, s.err)
			}
			if seen[s.ev.Once()] {
				t.Error("two calls have one name")
			}
			seen[s.ev.Once()] = true
			if r.Header.Get("Signature") != "" {
				t.Error("the caller's request was changed")
			}
		}
	}
}
