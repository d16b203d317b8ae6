package httpsig_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/httpsig"
)

// forger signs without a private key: for a public key of order one, this is a
// signature of anything.
type forger struct{}

func weakKey() ed25519.PublicKey {
	return append(ed25519.PublicKey{1}, make([]byte, ed25519.PublicKeySize-1)...)
}

func (forger) Public() crypto.PublicKey { return weakKey() }

func (forger) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return append([]byte(weakKey()), make([]byte, 32)...), nil
}

// Whoever registers a key for which anybody can sign has registered none.
func TestKeysForWhichAnybodySigns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		private crypto.Signer
		want    error
	}{{forger{}, httpsig.ErrSignature}, {private, nil}} {
		r := httptest.NewRequest(http.MethodPost, "/Operation", strings.NewReader(body))
		if err := httpsig.SignRequest(r, []byte(body), httpsig.Key{ID: signer.ID, Private: c.private}, time.Now()); err != nil {
			t.Fatal(err)
		}
		ev, _, err := httpsig.Capture(r, 1024)
		if err != nil {
			t.Fatal(err)
		}
		public := func(string) (ed25519.PublicKey, bool) { return c.private.Public().(ed25519.PublicKey), true }
		err = httpsig.Verify(ev, public, time.Now(), httpsig.Options{Authorities: []string{"example.com"}})
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%T: %v, want %v", c.private, err, c.want)
		}
	}
}

// The largest limit there is does not leave the body, signed as empty, to
// whoever reads it next.
func TestBodyLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		limit        int64
		signed, sent string
		want         error
	}{
		{"no limit to speak of, another body", math.MaxInt64, "", body, httpsig.ErrPayload},
		{"no limit to speak of", math.MaxInt64, body, body, nil},
		{"at the limit", int64(len(body)), body, body, nil},
		{"above", int64(len(body)) - 1, body, body, httpsig.ErrTooLarge},
		{"no limit given", 0, body, body, httpsig.ErrTooLarge},
		{"no limit given, no body", 0, "", "", nil},
		{"a limit below nothing", -5, body, body, httpsig.ErrTooLarge},
		{"the least limit there is", math.MinInt64, "", body, httpsig.ErrTooLarge},
		{"a limit below nothing, no body", -5, "", "", nil},
	} {
		r := httptest.NewRequest(http.MethodPost, "/Operation", bytes.NewReader([]byte(c.sent)))
		if err := httpsig.SignRequest(r, []byte(c.signed), signer, time.Now()); err != nil {
			t.Fatal(err)
		}
		_, got, err := httpsig.Capture(r, c.limit)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && string(got) != c.sent {
			t.Errorf("%s: %q, %v, want %v", c.name, got, err, c.want)
		}
	}
}
