package httpsig

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/internal/bodyread"
)

// Key is what a signer holds.
type Key struct {
	// ID is what the service knows the public key by: 1 to 256 printable
	// characters, no quotation mark, no backslash.
	ID string
	// Private signs. An [ed25519.PrivateKey] is one; so is what keeps the key
	// in hardware or in another process. It must be safe for concurrent use
	// where the key is.
	Private crypto.Signer
}

// SignRequest signs a client request over its method, host, path, query and
// body, its content type and encoding, and the headers named. It sets
// Content-Digest, Signature-Input and Signature, and takes a new nonce. The
// request's path must already be in its escaped wire form. A key without a part
// is [ErrConfig]; what [Capture] would refuse is refused here with the same
// errors.
func SignRequest(r *http.Request, body []byte, k Key, at time.Time, headers ...string) error {
	if k.Private == nil || k.ID == "" {
		return fmt.Errorf("%w: key", ErrConfig)
	}
	if _, ok := k.Private.Public().(ed25519.PublicKey); !ok {
		return fmt.Errorf("%w: not an Ed25519 key", ErrAlgorithm)
	}
	sum := sha256.Sum256(body)
	r.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	names := []string{"@method", "@authority", "@path", "@query", "content-digest"}
	for _, h := range append([]string{"content-type", "content-encoding"}, headers...) {
		h = strings.ToLower(h)
		if len(r.Header.Values(h)) > 0 && !slices.Contains(names, h) {
			names = append(names, h)
		}
	}
	value := fmt.Sprintf(`("%s");created=%d;nonce="%s";keyid="%s";alg="ed25519"`, strings.Join(names, `" "`), at.Unix(), rand.Text(), k.ID)
	names, _, err := parseValue(value)
	if err != nil {
		return err
	}
	sent := *r
	sent.RequestURI = r.URL.RequestURI()
	if sent.Host == "" {
		sent.Host = r.URL.Host
	}
	e := Evidence{}
	if e.base, err = base(&sent, names, value, CaptureOptions{Scheme: r.URL.Scheme}); err != nil {
		return err
	}
	if err := e.complete(); err != nil {
		return err
	}
	sig, err := k.Private.Sign(rand.Reader, []byte(e.base), crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("httpsig: sign: %w", err)
	}
	r.Header.Set("Signature-Input", "sig1="+value)
	r.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(sig)+":")
	return nil
}

// Transport signs every request before it goes to Base. It is safe for
// concurrent use when Base and the key are.
type Transport struct {
	Key Key
	// Headers are signed where a request has them, besides Content-Type and
	// Content-Encoding.
	Headers []string
	// Base is used for the signed request; nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip signs a copy of the request and sends it. The body is read into
// memory first, since its digest is signed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r, body, err := bodyread.Clone(r)
	if err != nil {
		return nil, err
	}
	if err := SignRequest(r, body, t.Key, time.Now(), t.Headers...); err != nil {
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(r)
}
