package sigv4_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

func ExampleVerify() {
	r := httptest.NewRequest(http.MethodPost, "/Open", strings.NewReader("{}"))
	_, _, err := sigv4.Capture(r, 1024)
	fmt.Println(errors.Is(err, sigv4.ErrNoSignature))
	_ = sigv4.SignRequest(r, []byte("{}"), creds, time.Now())
	ev, _, err := sigv4.Capture(r, 1024)
	fmt.Println(err, ev.Path(), sigv4.Verify(ev, keys, time.Now(), opts))
	// Output:
	// true
	// <nil> /Open <nil>
}

// Evidence crosses to the process that holds the keys in its binary form.
func ExampleVerifier() {
	keys := func(id string) (sigv4.Key, bool) {
		return sigv4.Key{Secret: secret}, id == "AKIDEXAMPLE"
	}
	v, err := sigv4.NewVerifier(keys, sigv4.Options{Region: "us-east-1", Service: "service"})
	if err != nil {
		log.Fatal(err)
	}
	stranger := sigv4.Credentials{AccessKeyID: "AKIASTRANGER", Secret: tenant.NewSecret([]byte("guess")), Region: "us-east-1", Service: "service"}
	for _, c := range []sigv4.Credentials{stranger, creds} {
		r := httptest.NewRequest(http.MethodPost, "/Open", strings.NewReader("{}"))
		if err := sigv4.SignRequest(r, []byte("{}"), c, time.Now()); err != nil {
			log.Fatal(err)
		}
		ev, _, err := sigv4.Capture(r, 1024)
		if err != nil {
			log.Fatal(err)
		}
		b, err := ev.MarshalBinary()
		if err != nil {
			log.Fatal(err)
		}
		ev, err = sigv4.ParseEvidence(b)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(v.Verify(ev, time.Now()))
	}
	// Output:
	// sigv4: signature does not match
	// <nil>
}

// A handler behind NewHandler sees what was signed and nothing else.
func ExampleNewHandler() {
	v, err := sigv4.NewVerifier(func(id string) (sigv4.Key, bool) {
		return sigv4.Key{Secret: secret}, id == "AKIDEXAMPLE"
	}, sigv4.Options{Region: "us-east-1", Service: "service"})
	if err != nil {
		log.Fatal(err)
	}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ev, _ := sigv4.FromContext(r.Context())
		_, unsigned := r.Header["X-Tenant"]
		fmt.Fprintln(w, ev.AccessKeyID(), ev.Path(), unsigned)
	})
	h, err := sigv4.NewHandler(next, v, sigv4.HandlerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	signing := &sigv4.Transport{AccessKeyID: "AKIDEXAMPLE", Secret: secret, Region: "us-east-1", Service: "service"}
	for _, c := range []*http.Client{http.DefaultClient, {Transport: signing}} {
		r, err := http.NewRequest(http.MethodGet, srv.URL+"/list", nil)
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("X-Tenant", "somebody-else")
		res, err := c.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if err != nil {
			log.Fatal(err)
		}
		_ = res.Body.Close()
		fmt.Printf("%d %s", res.StatusCode, b)
	}
	// Output:
	// 403 The request is not signed as it must be.
	// 200 AKIDEXAMPLE /list false
}

// A link is refused where it was not asked for, and after its end.
func ExamplePresign() {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := httptest.NewRequest(http.MethodGet, "/report", nil)
	if err := sigv4.Presign(r, nil, creds, at, time.Minute); err != nil {
		log.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	_, _, err := sigv4.Capture(r, 0)
	fmt.Println(errors.Is(err, sigv4.ErrPresigned))
	ev, _, err := sigv4.CaptureWith(r, 0, sigv4.CaptureOptions{Presigned: true})
	if err != nil {
		log.Fatal(err)
	}
	o := opts
	o.Presigned = time.Hour
	fmt.Println(errors.Is(sigv4.Verify(ev, keys, at.Add(2*time.Minute), o), sigv4.ErrExpired))
	fmt.Println(sigv4.Verify(ev, keys, at.Add(30*time.Second), o))
	// Output:
	// true
	// true
	// <nil>
}

// Digest evidence is small, and proves little: it must be asked for.
func ExampleEvidence_AtLevel() {
	r := httptest.NewRequest(http.MethodPost, "/Open", strings.NewReader("{}"))
	if err := sigv4.SignRequest(r, []byte("{}"), creds, time.Now()); err != nil {
		log.Fatal(err)
	}
	ev, _, err := sigv4.Capture(r, 1024)
	if err != nil {
		log.Fatal(err)
	}
	short, err := ev.AtLevel(sigv4.LevelDigest)
	if err != nil {
		log.Fatal(err)
	}
	b, err := short.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}
	o := opts
	fmt.Println(sigv4.Verify(short, keys, time.Now(), o))
	o.MinLevel = sigv4.LevelDigest
	fmt.Println(sigv4.Verify(short, keys, time.Now(), o), len(b) < 200, short.Path() == "")
	// Output:
	// sigv4: evidence says less than is demanded
	// <nil> true true
}

// A client that escapes its path twice is told so by its owner's tools.
func ExampleExplain() {
	r := httptest.NewRequest(http.MethodGet, "/a%20b", nil)
	if err := sigv4.SignRequest(r, nil, creds, time.Now()); err != nil {
		log.Fatal(err)
	}
	ev, _, err := sigv4.Capture(r, 0)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range sigv4.Explain(ev, "GET\n/a%20b\n\nhost:example.com\n\nhost\nUNSIGNED-PAYLOAD") {
		fmt.Println(d)
	}
	// Output:
	// path: 8 bytes here, 6 there, alike up to byte 4
	// header x-amz-content-sha256: signed here only
	// header x-amz-date: signed here only
	// signed headers: 36 bytes here, 4 there, alike up to byte 4
	// payload: the digest of nothing here, unsigned there
}
