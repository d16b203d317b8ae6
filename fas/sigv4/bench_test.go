package sigv4_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// rewinding is a body that can be read again.
type rewinding struct{ *bytes.Reader }

func (rewinding) Close() error { return nil }

// typical is a call as SDKs make it: a small JSON body, a session token.
func typical(b testing.TB, c sigv4.Credentials, sign func(*http.Request, []byte, sigv4.Credentials) error) (*http.Request, func()) {
	body := []byte(`{"customizationArn":"arn:aws:codewhisperer:us-east-1:123456789012:customization/ABCDEF","fileContext":{"leftFileContent":"func main() {","rightFileContent":"}"}}` + "  ")
	r := httptest.NewRequest(http.MethodPost, "/generateCompletions", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "bench")
	if err := sign(r, body, c); err != nil {
		b.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	rd := bytes.NewReader(body)
	return r, func() { rd.Reset(body); r.Body = rewinding{rd} }
}

func header(r *http.Request, body []byte, c sigv4.Credentials) error {
	return sigv4.SignRequest(r, body, c, time.Now())
}

func query(r *http.Request, body []byte, c sigv4.Credentials) error {
	return sigv4.Presign(r, body, c, time.Now(), time.Minute)
}

func BenchmarkVerify(b *testing.B) {
	all := sigv4.CaptureOptions{Presigned: true, SigV4A: true}
	token := creds
	token.SessionToken = strings.Repeat("t", 600)
	set := token
	set.RegionSet = "us-east-1"
	withAll := opts
	withAll.Presigned, withAll.SigV4A, withAll.MinLevel, withAll.MaxPast = time.Hour, true, sigv4.LevelDigest, 15*time.Minute
	v, err := sigv4.NewVerifier(func(id string) (sigv4.Key, bool) { return sigv4.Key{Secret: secret}, id == "AKIDEXAMPLE" }, withAll)
	if err != nil {
		b.Fatal(err)
	}
	full := func(c sigv4.Credentials, sign func(*http.Request, []byte, sigv4.Credentials) error, verify func(sigv4.Evidence) error) func(*testing.B) {
		return func(b *testing.B) {
			r, rewind := typical(b, c, sign)
			b.ReportAllocs()
			for b.Loop() {
				rewind()
				ev, _, err := sigv4.CaptureWith(r, 1<<20, all)
				if err == nil {
					err = verify(ev)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	cached := func(ev sigv4.Evidence) error { return v.Verify(ev, ev.Time()) }
	derived := func(ev sigv4.Evidence) error { return sigv4.Verify(ev, keys, ev.Time(), withAll) }
	b.Run("full-cached", full(token, header, cached))
	b.Run("full-derived", full(token, header, derived))
	b.Run("presigned", full(token, query, cached))
	b.Run("sigv4a", full(set, header, cached))
	r, rewind := typical(b, token, header)
	rewind()
	ev, _, err := sigv4.CaptureWith(r, 1<<20, all)
	if err != nil {
		b.Fatal(err)
	}
	wire, err := ev.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	short, err := ev.AtLevel(sigv4.LevelDigest)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("canonical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ev, err := sigv4.ParseEvidence(wire)
			if err == nil {
				err = cached(ev)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("digest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := cached(short); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("unknown-key", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v.VerifyKey(short, sigv4.Key{}, false, ev.Time()) == nil {
				b.Fatal("verified")
			}
		}
	})
	b.Run("hmac", func(b *testing.B) {
		mac := hmac.New(sha256.New, make([]byte, 32))
		text := bytes.Repeat([]byte("s"), 145)
		var sum [32]byte
		b.ReportAllocs()
		for b.Loop() {
			mac.Reset()
			mac.Write(text)
			mac.Sum(sum[:0])
		}
	})
}

func BenchmarkSign(b *testing.B) {
	b.ReportAllocs()
	r := httptest.NewRequest(http.MethodPost, "/op", io.NopCloser(strings.NewReader("{}")))
	for b.Loop() {
		if err := sigv4.SignRequest(r, []byte("{}"), creds, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
