package sigv4

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
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
	// RegionSet, unless empty, makes the signature SigV4A, for these regions
	// and not for Region.
	RegionSet string
}

// check names what is missing: a signature without it is one that everybody
// refuses, with no word of why.
func (c Credentials) check() error {
	switch {
	case c.AccessKeyID == "":
		return refuse("credentials without an access key ID", ErrConfig)
	case c.Region == "" && c.RegionSet == "":
		return refuse("credentials without a region", ErrConfig)
	case c.Service == "":
		return refuse("credentials without a service", ErrConfig)
	}
	return nil
}

// SignRequest signs a client request over its host, content type, all X-Amz-*
// headers and its body. It sets X-Amz-Date and X-Amz-Content-Sha256. The
// request's path must already be in its escaped wire form. A + in the query is
// written as %20, which is how servers read it. Credentials without access key ID,
// region or service are refused with [ErrConfig].
func SignRequest(r *http.Request, body []byte, c Credentials, at time.Time) error {
	if err := c.check(); err != nil {
		return err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	e := newClaim(c, at)
	r.Header.Set("X-Amz-Date", e.date)
	r.Header.Set("X-Amz-Content-Sha256", payload)
	if e.ecdsa {
		r.Header.Set("X-Amz-Region-Set", e.region)
	}
	if c.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", c.SessionToken)
	}
	list, err := e.sign(r, payload, c.Secret)
	if err != nil {
		return err
	}
	auth := e.appendScope([]byte(e.algorithm() + " Credential=" + e.accessKeyID + "/"))
	auth = append(auth, ", SignedHeaders="+list+", Signature="...)
	r.Header.Set("Authorization", string(hex.AppendEncode(auth, e.sig[:e.sigLen])))
	return nil
}

// Presign signs a client request in its query, good for life: whole seconds,
// from one to seven days, or else [ErrExpires]. It changes r.URL.RawQuery. What
// else is in r.Header under Content-Type or X-Amz-* is signed too and must be
// sent along. For the service "s3" the payload is unsigned, as S3 wants it;
// otherwise body is what must be sent. Credentials are refused as by
// [SignRequest].
func Presign(r *http.Request, body []byte, c Credentials, at time.Time, life time.Duration) error {
	if err := c.check(); err != nil {
		return err
	}
	seconds := int(life / time.Second)
	if seconds < 1 || life > maxExpires*time.Second {
		return refuse("X-Amz-Expires", ErrExpires)
	}
	payload := unsigned
	if c.Service != "s3" {
		sum := sha256.Sum256(body)
		payload = hex.EncodeToString(sum[:])
	}
	e := newClaim(c, at)
	e.presigned = true
	names, _ := signedHeaders(r)
	values := [...]string{e.algorithm(), string(e.appendScope([]byte(e.accessKeyID + "/"))), e.date, strconv.Itoa(seconds),
		strings.Join(names, ";"), "", c.SessionToken, "", ""}
	if e.ecdsa {
		values[7] = e.region
	}
	query := []byte(r.URL.RawQuery)
	for i, v := range values {
		if v == "" {
			continue
		}
		if len(query) > 0 {
			query = append(query, '&')
		}
		query = escapeAll(append(query, reserved[i]+"="...), v, false)
	}
	if hasReserved(r.URL.RawQuery) {
		return refuse("query", ErrDuplicated)
	}
	r.URL.RawQuery = string(query)
	if _, err := e.sign(r, payload, c.Secret); err != nil {
		return err
	}
	r.URL.RawQuery += "&X-Amz-Signature=" + hex.EncodeToString(e.sig[:e.sigLen])
	return nil
}

func newClaim(c Credentials, at time.Time) Evidence {
	e := Evidence{accessKeyID: c.AccessKeyID, date: at.UTC().Format(timeFormat), region: c.Region, service: c.Service}
	if c.RegionSet != "" {
		e.ecdsa, e.region = true, c.RegionSet
	}
	return e
}

// sign makes the canonical request and its signature, and returns the list of
// signed headers.
func (e *Evidence) sign(r *http.Request, payload string, secret tenant.Secret) (string, error) {
	s := borrow()
	defer s.release()
	r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "+", "%20")
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	out, err := appendPath(append(append(s.out[:0], r.Method...), '\n'), path, e.service == "s3")
	if err != nil {
		return "", err
	}
	if out, err = s.appendQuery(append(out, '\n'), r.URL.RawQuery); err != nil {
		return "", err
	}
	names, headers := signedHeaders(r)
	list := strings.Join(names, ";")
	out = append(append(append(append(append(append(out, '\n'), headers...), '\n'), list...), '\n'), payload...)
	s.out = out
	e.canonical, e.hash = string(out), s.hash(out)
	s.out = e.appendStringToSign(out[:0])
	if e.ecdsa {
		sum := s.hash(s.out)
		key, err := deriveECDSA(s, secret, e.accessKeyID)
		if err != nil {
			return "", err
		}
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			return "", err
		}
		e.sigLen = uint8(copy(e.sig[:], sig))
		return list, nil
	}
	err = secret.Use(func(b []byte) error {
		s.derive(b, e.date[:8], e.region, e.service)
		s.sign(s.out)
		e.sigLen = uint8(copy(e.sig[:], s.sum[:]))
		return nil
	})
	return list, err
}

// signedHeaders returns the names to sign, sorted, and their canonical lines.
func signedHeaders(r *http.Request) (names []string, lines []byte) {
	values := map[string][]string{"host": {r.Host}}
	if r.Host == "" {
		values["host"] = []string{r.URL.Host}
	}
	for k, v := range r.Header {
		if l := strings.ToLower(k); l == "content-type" || isAmz(l) {
			values[l] = v
		}
	}
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		lines = append(append(lines, n...), ':')
		for i, v := range values[n] {
			if i > 0 {
				lines = append(lines, ',')
			}
			lines = appendFolded(lines, v)
		}
		lines = append(lines, '\n')
	}
	return names, lines
}
