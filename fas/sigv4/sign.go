package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// Credentials is what a signer holds.
type Credentials struct {
	AccessKeyID string
	Secret      tenant.Secret
	// SessionToken is sent, signed, as X-Amz-Security-Token, unless empty.
	SessionToken string
	// Region and Service are what is signed for.
	Region, Service string
}

// SignRequest signs a client request over its host, content type, all X-Amz-*
// headers and its body. It sets X-Amz-Date and X-Amz-Content-Sha256. The
// request's path must already be in its escaped wire form.
func SignRequest(r *http.Request, body []byte, c Credentials, at time.Time) error {
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	date := at.UTC().Format(timeFormat)
	r.Header.Set("X-Amz-Date", date)
	r.Header.Set("X-Amz-Content-Sha256", payload)
	if c.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken)
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	values := map[string]string{"host": host}
	for k, v := range r.Header {
		if l := strings.ToLower(k); l == "content-type" || strings.HasPrefix(l, "x-amz-") {
			values[l] = collapse(strings.Join(v, ","))
		}
	}
	var names []string
	for n := range values {
		names = append(names, n)
	}
	sort.Strings(names)
	var hs strings.Builder
	for _, n := range names {
		hs.WriteString(n + ":" + values[n] + "\n")
	}
	path, err := canonicalPath(r.URL.EscapedPath(), c.Service == "s3")
	if err != nil {
		return err
	}
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	signed := strings.Join(names, ";")
	e := Evidence{date: date, region: c.Region, service: c.Service,
		canonical: r.Method + "\n" + path + "\n" + query + "\n" + hs.String() + "\n" + signed + "\n" + payload}
	return c.Secret.Use(func(secret []byte) error {
		mac := sign(signingKey(secret, date[:8], c.Region, c.Service), e.stringToSign())
		r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%x", algorithm, c.AccessKeyID, e.scope(), signed, mac))
		return nil
	})
}

// Transport signs every request before it goes to Base. It never follows its
// caller into another credential: without a secret the request fails. It is
// safe for concurrent use when Base is.
type Transport struct {
	AccessKeyID     string
	Secret          tenant.Secret
	SessionToken    string
	Region, Service string
	// Base is used for the signed request; nil means http.DefaultTransport.
	Base http.RoundTripper
}

// RoundTrip signs a copy of the request and sends it. The body is read into
// memory first, since its digest is signed.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		if cerr := r.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	r.GetBody = nil
	c := Credentials{t.AccessKeyID, t.Secret, t.SessionToken, t.Region, t.Service}
	if err := SignRequest(r, body, c, time.Now()); err != nil {
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(r)
}
