package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	asymmetric = "AWS4-ECDSA-P256-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	unsigned   = "UNSIGNED-PAYLOAD"
	streaming  = "STREAMING-"
	maxExpires = 7 * 24 * 3600
	maxSig     = 72 // of ECDSA P-256 in DER
	// MaxEvidence is the largest canonical request accepted, in bytes.
	MaxEvidence = 16 << 10
	// MaxBody is the largest body that evidence carries along, in bytes.
	MaxBody = 64 << 10
)

// Level is how much evidence says about the call that was signed.
type Level uint8

// The levels, from the least to the most.
const (
	// LevelDigest proves that something was signed, about when, for which
	// service: neither operation nor host nor headers.
	LevelDigest Level = iota + 1
	// LevelCanonical adds method, path, query, signed headers and the body's
	// digest.
	LevelCanonical
	// LevelBody adds the body.
	LevelBody
)

// String returns "digest", "canonical", "body" or "none".
func (l Level) String() string {
	if l < LevelDigest || l > LevelBody {
		return "none"
	}
	return [...]string{"digest", "canonical", "body"}[l-1]
}

// Evidence is what a caller signed. It is a claim until [Verify] accepted it.
// The zero value is no evidence and is refused everywhere.
type Evidence struct {
	accessKeyID     string
	date            string // timeFormat
	region, service string // region is the region set with SigV4A
	canonical       string // empty at LevelDigest
	hash            [sha256.Size]byte
	sig             [maxSig]byte
	sigLen          uint8
	ecdsa           bool
	presigned       bool
	body            []byte
	hasBody         bool

	// Parsed back from what was signed.
	at                                    time.Time
	expires                               time.Duration
	method, path, query, headers, payload string
}

// Level returns how much the evidence says; zero for no evidence.
func (e Evidence) Level() Level {
	switch {
	case e.IsZero():
		return 0
	case e.canonical == "":
		return LevelDigest
	case e.hasBody:
		return LevelBody
	}
	return LevelCanonical
}

// AccessKeyID returns the claimed access key.
func (e Evidence) AccessKeyID() string { return e.accessKeyID }

// Time returns the signed time, with a resolution of one second.
func (e Evidence) Time() time.Time { return e.at }

// Region returns the signed region; with SigV4A the signed region set, such as
// "us-east-1,eu-*".
func (e Evidence) Region() string { return e.region }

// Service returns the signed service name.
func (e Evidence) Service() string { return e.service }

// Method returns the signed method.
func (e Evidence) Method() string { return e.method }

// Path returns the signed path in its canonical, escaped form.
func (e Evidence) Path() string { return e.path }

// Query returns the signed query in its canonical form: escaped, sorted. Of a
// presigned request it holds the parameters of the signature, but not the
// signature.
func (e Evidence) Query() string { return e.query }

// SigV4A reports whether the signature is ECDSA P-256 and not HMAC.
func (e Evidence) SigV4A() bool { return e.ecdsa }

// Presigned reports whether the request was signed in its query, and for how
// long.
func (e Evidence) Presigned() (life time.Duration, ok bool) { return e.expires, e.presigned }

// PayloadHash returns the signed SHA-256 of the body; zero when the payload is
// unsigned, see [Evidence.PayloadSigned].
func (e Evidence) PayloadHash() (sum [32]byte) {
	digest(&sum, e.payload)
	return sum
}

// PayloadSigned reports whether the signature covers the body.
func (e Evidence) PayloadSigned() bool { return e.payload != "" && e.payload != unsigned }

// Signature returns the claimed HMAC. One ECDSA signature can be written in
// several ways and made again with another value; with SigV4A this is
// [Evidence.Digest].
func (e Evidence) Signature() [32]byte {
	if e.ecdsa {
		return e.Digest()
	}
	return [32]byte(e.sig[:32])
}

// Body returns the body, if the evidence carries it.
func (e Evidence) Body() []byte { return e.body }

// IsZero reports whether this is no evidence.
func (e Evidence) IsZero() bool { return e.accessKeyID == "" }

// Header returns a signed header; an unsigned one is absent.
func (e Evidence) Header(name string) (string, bool) {
	name = strings.ToLower(name)
	for rest := e.headers; rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if k, v, _ := strings.Cut(line, ":"); k == name {
			return v, true
		}
	}
	return "", false
}

// Parameter returns a signed parameter of the query, its escapes undone. One
// that is absent, or there more than once, is not returned.
func (e Evidence) Parameter(name string) (value string, ok bool) {
	n := 0
	for rest := e.query; rest != ""; {
		var p string
		p, rest, _ = strings.Cut(rest, "&")
		if k, v, _ := strings.Cut(p, "="); escapes(k, name) {
			plain, _ := unescape(nil, v)
			value, n = string(plain), n+1
		}
	}
	if n != 1 {
		return "", false
	}
	return value, true
}

// SessionToken returns the signed X-Amz-Security-Token, from the headers or,
// of a presigned request, from the query.
func (e Evidence) SessionToken() (string, bool) {
	if e.presigned {
		return e.Parameter("X-Amz-Security-Token")
	}
	return e.Header("X-Amz-Security-Token")
}

// Digest returns the SHA-256 of the string to sign, which names this signed
// call in replay stores and audit records.
func (e Evidence) Digest() [32]byte {
	if e.IsZero() {
		return [32]byte{}
	}
	s := borrow()
	defer s.release()
	s.out = e.appendStringToSign(s.out[:0])
	return s.hash(s.out)
}

// WithBody returns the evidence with its body, at most [MaxBody] bytes. A body
// whose digest is not the signed one is refused with [ErrPayload], one that
// cannot be checked with [ErrUnsignedPayload] or [ErrLevel].
func (e Evidence) WithBody(b []byte) (Evidence, error) {
	switch {
	case e.canonical == "":
		return Evidence{}, ErrLevel
	case !e.PayloadSigned():
		return Evidence{}, refuse("body", ErrUnsignedPayload)
	case len(b) > MaxBody:
		return Evidence{}, refuse("body", ErrTooLarge)
	case sha256.Sum256(b) != e.PayloadHash():
		return Evidence{}, refuse("body", ErrPayload)
	}
	e.body, e.hasBody = bytes.Clone(b), true
	return e, nil
}

// AtLevel returns evidence that says less: without its body, or without its
// canonical request. [LevelDigest] is refused with [ErrLevel] for presigned
// requests, whose end it would forget, and for SigV4A, whose regions it would
// forget.
func (e Evidence) AtLevel(l Level) (Evidence, error) {
	if l < LevelDigest || l > e.Level() || l == LevelDigest && (e.presigned || e.ecdsa) {
		return Evidence{}, ErrLevel
	}
	if l < LevelBody {
		e.body, e.hasBody = nil, false
	}
	if l < LevelCanonical {
		e.canonical, e.method, e.path, e.query, e.headers, e.payload = "", "", "", "", "", ""
	}
	return e, nil
}

func (e *Evidence) algorithm() string {
	if e.ecdsa {
		return asymmetric
	}
	return algorithm
}

func (e *Evidence) appendStringToSign(dst []byte) []byte {
	dst = append(append(dst, e.algorithm()...), '\n')
	dst = append(append(dst, e.date...), '\n')
	dst = append(e.appendScope(dst), '\n')
	return hex.AppendEncode(dst, e.hash[:])
}

func (e *Evidence) appendScope(dst []byte) []byte {
	dst = append(append(dst, e.date[:8]...), '/')
	if !e.ecdsa {
		dst = append(append(dst, e.region...), '/')
	}
	dst = append(append(dst, e.service...), '/')
	return append(dst, terminator...)
}

// digest decodes exactly 64 lower-case hexadecimal digits. The length comes
// first: Decode writes beyond what it is given.
func digest(to *[32]byte, text string) bool {
	if len(text) != 64 || !lowerHex(text) {
		return false
	}
	for i := range to {
		to[i] = unhex(text[2*i])<<4 | unhex(text[2*i+1])
	}
	return true
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
