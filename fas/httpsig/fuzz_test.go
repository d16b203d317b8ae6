package httpsig_test

import (
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

var (
	fuzzOptions = httpsig.Options{Authorities: []string{"example.com"}}
	fuzzTime    = time.Unix(1_700_000_000, 0)
)

// fuzzSeed has the fixed nonce that every process of a fuzzing run must agree
// on, so that the seed is not a forgery.
func fuzzSeed(f *testing.F) httpsig.Evidence {
	f.Helper()
	r := httptest.NewRequest(http.MethodPost, "/Operation", strings.NewReader(body))
	r.Header.Set("Content-Digest", "sha-256=:AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX+GI=:")
	r.Header.Set("Signature-Input", fuzzInput)
	r.Header.Set("Signature", fuzzSignature)
	ev, _, err := httpsig.Capture(r, 1024)
	if err != nil {
		f.Fatal(err)
	}
	if err := httpsig.Verify(ev, keys, fuzzTime, fuzzOptions); err != nil {
		f.Fatal(err)
	}
	return ev
}

const (
	fuzzInput     = `sig1=("@method" "@authority" "@path" "@query" "content-digest");created=1700000000;nonce="n";keyid="acme/alice-1";alg="ed25519"`
	fuzzSignature = "sig1=:soTG5WlnKem7eTVbC4fN+HfUcbn5JkeNwZ6DmH9RkozvcOo58Vk+PLkcaw3XQWF4vrd+AeMC7Ya6H5votWiWAw==:"
)

func FuzzParseEvidence(f *testing.F) {
	ev := fuzzSeed(f)
	b, err := ev.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := httpsig.ParseEvidence(b)
		if err != nil {
			return
		}
		if httpsig.Verify(e, keys, fuzzTime, fuzzOptions) == nil && e.Digest() != ev.Digest() {
			t.Errorf("forged: %q", b)
		}
		again, err := e.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := httpsig.ParseEvidence(again); err != nil || back.Digest() != e.Digest() || back.Path() != e.Path() {
			t.Errorf("%q is read as something else the second time: %v", b, err)
		}
	})
}

func FuzzCapture(f *testing.F) {
	ev := fuzzSeed(f)
	f.Add("POST", "/Operation", "example.com", "sha-256=:AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX+GI=:", fuzzInput, fuzzSignature)
	f.Fuzz(func(t *testing.T, method, target, host, digest, input, signature string) {
		r := &http.Request{Method: method, Host: host, RequestURI: target, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{
			"Content-Digest": {digest}, "Signature-Input": {input}, "Signature": {signature}}}
		e, _, err := httpsig.Capture(r, 10)
		if err != nil {
			return
		}
		if httpsig.Verify(e, keys, fuzzTime, fuzzOptions) == nil && e.Digest() != ev.Digest() {
			t.Errorf("forged: %q %q", target, input)
		}
		b, err := e.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back, err := httpsig.ParseEvidence(b)
		if err != nil || back.Digest() != e.Digest() || back.Path() != e.Path() || back.Query() != e.Query() {
			t.Errorf("captured and parsed evidence differ: %v", err)
		}
	})
}

func ExampleVerify() {
	r := httptest.NewRequest(http.MethodPost, "/Open", strings.NewReader("{}"))
	_, _, err := httpsig.Capture(r, 1024)
	fmt.Println(errors.Is(err, httpsig.ErrNoSignature))

	_ = httpsig.SignRequest(r, []byte("{}"), signer, time.Now())
	ev, _, err := httpsig.Capture(r, 1024)
	fmt.Println(err)
	elsewhere := httpsig.Options{Authorities: []string{"other.example"}}
	fmt.Println(errors.Is(httpsig.Verify(ev, keys, time.Now(), elsewhere), httpsig.ErrAuthority))
	here := httpsig.Options{Authorities: []string{"example.com"}}
	fmt.Println(ev.Path(), httpsig.Verify(ev, keys, time.Now(), here))
	// Output:
	// true
	// <nil>
	// true
	// /Open <nil>
}
