package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrNoSignature   = errors.New("sigv4: the request is not signed")
	ErrMalformed     = errors.New("sigv4: malformed authentication")
	ErrNotSigned     = errors.New("sigv4: a header that must be signed is not")
	ErrAmbiguousPath = errors.New("sigv4: ambiguous path")
	ErrPayload       = errors.New("sigv4: payload not covered by the signature")
	ErrTooLarge      = errors.New("sigv4: body too large")
	ErrSignature     = errors.New("sigv4: signature does not match")
	ErrScope         = errors.New("sigv4: signed for another region or service")
	ErrSkew          = errors.New("sigv4: signed at the wrong time")
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	// MaxEvidence is the largest canonical request accepted, in bytes.
	MaxEvidence = 16 << 10
	// MaxBody is the largest body that evidence carries along, in bytes.
	MaxBody = 64 << 10
)

// Evidence is what a caller signed. It is a claim until [Verify] accepted it.
// The zero value is no evidence and is refused everywhere.
type Evidence struct {
	accessKeyID     string
	date            string // timeFormat
	region, service string
	canonical       string
	signature       [32]byte
	body            []byte

	at      time.Time
	headers []header // signed ones, parsed back from canonical
	method  string
	path    string
	payload [32]byte
}

type header struct{ name, value string }

// AccessKeyID returns the claimed access key.
func (e Evidence) AccessKeyID() string { return e.accessKeyID }

// Time returns the signed time, with a resolution of one second.
func (e Evidence) Time() time.Time { return e.at }

// Region returns the signed region.
func (e Evidence) Region() string { return e.region }

// Service returns the signed service name.
func (e Evidence) Service() string { return e.service }

// Method returns the signed method.
func (e Evidence) Method() string { return e.method }

// Path returns the signed path in its canonical, escaped form.
func (e Evidence) Path() string { return e.path }

// PayloadHash returns the signed SHA-256 of the body.
func (e Evidence) PayloadHash() [32]byte { return e.payload }

// Signature returns the claimed signature.
func (e Evidence) Signature() [32]byte { return e.signature }

// Body returns the body, if the evidence carries it.
func (e Evidence) Body() []byte { return e.body }

// IsZero reports whether this is no evidence.
func (e Evidence) IsZero() bool { return e.canonical == "" }

// Header returns a signed header; an unsigned one is absent.
func (e Evidence) Header(name string) (string, bool) {
	name = strings.ToLower(name)
	for _, h := range e.headers {
		if h.name == name {
			return h.value, true
		}
	}
	return "", false
}

// Digest returns the SHA-256 of the string to sign, which names this signed
// call in replay stores and audit records.
func (e Evidence) Digest() [32]byte { return sha256.Sum256([]byte(e.stringToSign())) }

// WithBody returns the evidence with its body, at most [MaxBody] bytes. A body
// whose digest is not the signed one is refused with [ErrPayload].
func (e Evidence) WithBody(b []byte) (Evidence, error) {
	if len(b) > MaxBody {
		return Evidence{}, ErrTooLarge
	}
	if sha256.Sum256(b) != e.payload {
		return Evidence{}, fmt.Errorf("%w: the body is not the signed one", ErrPayload)
	}
	e.body = bytes.Clone(b)
	return e, nil
}

func (e Evidence) stringToSign() string {
	sum := sha256.Sum256([]byte(e.canonical))
	return algorithm + "\n" + e.date + "\n" + e.scope() + "\n" + hex.EncodeToString(sum[:])
}

func (e Evidence) scope() string {
	return e.date[:8] + "/" + e.region + "/" + e.service + "/aws4_request"
}

type wire struct {
	Key       string `json:"k"`
	Date      string `json:"d"`
	Region    string `json:"r"`
	Service   string `json:"s"`
	Canonical string `json:"c"`
	Signature string `json:"g"`
	Body      []byte `json:"b,omitempty"`
}

// MarshalBinary returns the form that [ParseEvidence] reads.
func (e Evidence) MarshalBinary() ([]byte, error) {
	if e.IsZero() {
		return nil, ErrNoSignature
	}
	return json.Marshal(wire{e.accessKeyID, e.date, e.region, e.service, e.canonical, hex.EncodeToString(e.signature[:]), e.body})
}

// ParseEvidence reads what [Evidence.MarshalBinary] wrote. Everything that can
// be derived from the canonical request is derived again, so that a field
// cannot say something else than what was signed.
func ParseEvidence(b []byte) (Evidence, error) {
	if len(b) > 2*MaxEvidence+2*MaxBody {
		return Evidence{}, ErrTooLarge
	}
	var w wire
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return Evidence{}, fmt.Errorf("%w: not evidence", ErrMalformed)
	}
	if _, err := d.Token(); err != io.EOF {
		return Evidence{}, fmt.Errorf("%w: data after the evidence", ErrMalformed)
	}
	e := Evidence{accessKeyID: w.Key, date: w.Date, region: w.Region, service: w.Service, canonical: w.Canonical}
	if !digest(&e.signature, w.Signature) {
		return Evidence{}, fmt.Errorf("%w: signature", ErrMalformed)
	}
	if err := e.complete(); err != nil {
		return Evidence{}, err
	}
	if len(w.Body) > 0 {
		return e.WithBody(w.Body)
	}
	return e, nil
}

// digest decodes exactly 64 hexadecimal digits. The length comes first: Decode
// writes beyond what it is given.
func digest(to *[32]byte, text string) bool {
	if len(text) != 64 {
		return false
	}
	_, err := hex.Decode(to[:], []byte(text))
	return err == nil
}

// complete checks the claimed fields and parses the canonical request back.
func (e *Evidence) complete() error {
	if len(e.canonical) == 0 || len(e.canonical) > MaxEvidence {
		return fmt.Errorf("%w: canonical request of %d bytes", ErrMalformed, len(e.canonical))
	}
	if !token(e.accessKeyID, 128) || !token(e.region, 64) || !token(e.service, 64) {
		return fmt.Errorf("%w: credential scope", ErrMalformed)
	}
	at, err := time.Parse(timeFormat, e.date)
	if err != nil {
		return fmt.Errorf("%w: date", ErrMalformed)
	}
	e.at = at
	lines := strings.Split(e.canonical, "\n")
	if len(lines) < 7 {
		return fmt.Errorf("%w: canonical request", ErrMalformed)
	}
	n := len(lines)
	e.method, e.path = lines[0], lines[1]
	names := strings.Split(lines[n-2], ";")
	if lines[n-3] != "" || len(names) != n-6 {
		return fmt.Errorf("%w: canonical headers", ErrMalformed)
	}
	e.headers = e.headers[:0]
	for i, name := range names {
		k, v, ok := strings.Cut(lines[3+i], ":")
		if !ok || k != name || i > 0 && names[i-1] >= name {
			return fmt.Errorf("%w: canonical headers", ErrMalformed)
		}
		e.headers = append(e.headers, header{k, v})
	}
	if host, ok := e.Header("host"); !ok || host == "" {
		return fmt.Errorf("%w: host", ErrNotSigned)
	}
	if date, ok := e.Header("x-amz-date"); !ok || date != e.date {
		return fmt.Errorf("%w: x-amz-date", ErrNotSigned)
	}
	if !digest(&e.payload, lines[n-1]) {
		return fmt.Errorf("%w: the payload is unsigned or streaming", ErrPayload)
	}
	if v, ok := e.Header("x-amz-content-sha256"); ok && v != lines[n-1] {
		return fmt.Errorf("%w: two payload digests", ErrPayload)
	}
	return nil
}

func token(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
