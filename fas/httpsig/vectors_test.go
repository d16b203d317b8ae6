package httpsig

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// rfcRequest is the test request of RFC 9421, appendix B.2.
func rfcRequest() *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/foo?param=Value&Pet=dog", strings.NewReader(`{"hello": "world"}`))
	r.Host = "example.com"
	for k, v := range map[string]string{
		"Date":           "Tue, 20 Apr 2021 02:07:55 GMT",
		"Content-Type":   "application/json",
		"Content-Digest": "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
	} {
		r.Header.Set(k, v)
	}
	return r
}

// rfcKey is test-key-ed25519 of RFC 9421, appendix B.1.4.
func rfcKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	seed, err := base64.RawURLEncoding.DecodeString("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU")
	if err != nil {
		t.Fatal(err)
	}
	k := ed25519.NewKeyFromSeed(seed)
	if x := base64.RawURLEncoding.EncodeToString(k.Public().(ed25519.PublicKey)); x != "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs" {
		t.Fatalf("public key %s", x)
	}
	return k
}

// Appendix B.2.6: the signature base and the signature over it, to the byte.
// The request itself is outside the subset.
func TestRFC9421AppendixB26(t *testing.T) {
	t.Parallel()
	const (
		value = `("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`
		sig   = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:"
	)
	r, k := rfcRequest(), rfcKey(t)
	got, err := base(r, []string{"date", "@method", "@path", "@authority", "content-type", "content-length"}, value, CaptureOptions{Scheme: "https"})
	if err != nil {
		t.Fatal(err)
	}
	want := `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ` + value
	if got != want {
		t.Fatalf("signature base\n%s\nwant\n%s", got, want)
	}
	s, err := parseSignature(sig, "sig-b26")
	if err != nil {
		t.Fatal(err)
	}
	if !ed25519.Verify(k.Public().(ed25519.PublicKey), []byte(got), s[:]) {
		t.Error("the published signature does not verify")
	}
	if string(ed25519.Sign(k, []byte(got))) != string(s[:]) {
		t.Error("the signature is not the published one")
	}
	r.Header.Set("Signature-Input", "sig-b26="+value)
	r.Header.Set("Signature", sig)
	if _, _, err := Capture(r, 1024); !errors.Is(err, ErrParameter) {
		t.Errorf("without nonce and algorithm: %v", err)
	}
}

// The derived components of sections 2.2.2 to 2.2.7.
func TestRFC9421DerivedComponents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, host, scheme, name, want string }{
		{"/path?param=value", "www.example.com", "https", "@method", "POST"},
		{"/path?param=value", "www.example.com", "https", "@target-uri", "https://www.example.com/path?param=value"},
		{"/path?param=value", "WWW.Example.com:443", "https", "@authority", "www.example.com"},
		{"/path?param=value", "www.example.com:80", "http", "@authority", "www.example.com"},
		{"/path?param=value", "www.example.com:80", "https", "@authority", "www.example.com:80"},
		{"/path?param=value", "www.example.com", "https", "@path", "/path"},
		{"/path?param=value&foo=bar&baz=bat%2Dman", "www.example.com", "https", "@query", "?param=value&foo=bar&baz=bat%2Dman"},
		{"/path?queryString", "www.example.com", "https", "@query", "?queryString"},
		{"/path", "www.example.com", "https", "@query", "?"},
	} {
		r := httptest.NewRequest(http.MethodPost, c.target, nil)
		r.Host = c.host
		got, err := base(r, []string{c.name}, "()", CaptureOptions{Scheme: c.scheme})
		if want := `"` + c.name + `": ` + c.want + "\n" + `"@signature-params": ()`; err != nil || got != want {
			t.Errorf("%s of %s: %q, want %q, %v", c.name, c.target, got, want, err)
		}
	}
}

// RFC 9530, appendix D, and RFC 9421, appendix B.2, where the digest is SHA-512.
func TestRFC9530ContentDigest(t *testing.T) {
	t.Parallel()
	for field, content := range map[string]string{
		"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:": `{"hello": "world"}`,
		"sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:": `{"hello": "world"}` + "\n",
	} {
		if got, err := parseContentDigest(field); err != nil || got != sha256.Sum256([]byte(content)) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, field := range []string{
		"", "sha-256", "sha-256=", "sha-256=:", "sha-256=::", "SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
		rfcRequest().Header.Get("Content-Digest"),
		"sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
		"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE:",
		"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPF=:", // the same bytes, in a second form
		"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
		"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:;q=1",
		" sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
		"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=: ",
		"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBP\r\n=:",
	} {
		if _, err := parseContentDigest(field); !errors.Is(err, ErrPayload) {
			t.Errorf("%q: %v", field, err)
		}
	}
}

func FuzzSignatureInput(f *testing.F) {
	f.Add(`sig1=("@method" "@authority" "@path" "@query" "content-digest");created=1618884473;nonce="b3k2pp5k7z-50gnwp.yemd";keyid="test-key-ed25519";alg="ed25519"`)
	f.Add(`sig1=("date" "@target-uri");created=1;expires=2;alg="ed25519";nonce="n";keyid="k"`)
	f.Add(`sig1=("a";sf "b"), sig2=()`)
	f.Fuzz(func(t *testing.T, field string) {
		label, value, names, p, err := parseInput(field)
		if err != nil {
			return
		}
		if label+"="+value != field {
			t.Errorf("%q is taken for %q and %q", field, label, value)
		}
		// There is one form of what was understood: the value holds it in full.
		list := "()"
		if len(names) > 0 {
			list = `("` + strings.Join(names, `" "`) + `")`
		}
		rest, ok := strings.CutPrefix(value, list)
		if !ok {
			t.Fatalf("%q: components %q", value, names)
		}
		pieces := []string{`;alg="ed25519"`, `;nonce="` + p.nonce + `"`, `;keyid="` + p.keyID + `"`, ";created=" + itoa(p.created)}
		if p.expires != 0 {
			pieces = append(pieces, ";expires="+itoa(p.expires))
		}
		n := 0
		for _, piece := range pieces {
			if !strings.Contains(rest, piece) {
				t.Errorf("%q has no %q", rest, piece)
			}
			n += len(piece)
		}
		if n != len(rest) || !printable(value) {
			t.Errorf("%q holds more than %q", rest, pieces)
		}
	})
}

func FuzzContentDigest(f *testing.F) {
	f.Add("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:")
	f.Add("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-512=::")
	f.Fuzz(func(t *testing.T, field string) {
		sum, err := parseContentDigest(field)
		if err == nil && field != "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":" {
			t.Errorf("%q has a second form", field)
		}
	})
}

func itoa(n int64) string { return string(appendInt(nil, n)) }

func appendInt(b []byte, n int64) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}
