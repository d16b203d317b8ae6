package fas

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// MaxEvidence is the largest evidence accepted, in bytes.
const MaxEvidence = 256 << 10

// String returns "digest", "canonical", "body" or "none".
func (l Level) String() string {
	if l < LevelDigest || l > LevelBody {
		return "none"
	}
	return [...]string{"digest", "canonical", "body"}[l-1]
}

// Level is how much evidence says about the call that was signed.
type Level uint8

// The levels, each saying more than the one before.
const (
	// LevelDigest proves that something was signed and when, and not what.
	LevelDigest Level = iota + 1
	// LevelCanonical proves method, path, and the digest of the body.
	LevelCanonical
	// LevelBody adds the body.
	LevelBody
)

// Claim is what evidence says of itself. In the hands of a front end it is a
// claim; it is the truth where a [Verifier] returned it.
type Claim struct {
	// Digest names the signed call in audit records: whoever has the call can
	// compute it.
	Digest [32]byte
	// Once names the evidence in replay stores: the same evidence has the same,
	// and nobody but the signer can make another for the same signed call.
	Once [32]byte
	// Time is when it was signed.
	Time time.Time
	// Ahead is how far the scheme lets Time be ahead of the firewall's clock; zero
	// means 30 seconds.
	Ahead time.Duration
	// Until is the last moment at which it verifies; zero means 15 minutes after
	// Time. Evidence that lives for more than [MaxEvidenceLife] is refused.
	Until time.Time
	// Method and Path are those of the signed request line, the path in its
	// escaped form without a query; empty at [LevelDigest].
	Method, Path string
	// Query is the signed query as it is escaped; Header returns a signed
	// header and no other, and may be nil.
	Query  string
	Header func(name string) (value string, ok bool)
	// Body is the signed body; nil below [LevelBody].
	Body  []byte
	Level Level
}

// MaxEvidenceLife is how long evidence may verify from when it was signed.
const MaxEvidenceLife = time.Hour

func (c Claim) end() time.Time {
	if c.Until.IsZero() {
		return c.Time.Add(15 * time.Minute)
	}
	return c.Until
}

// made is the earliest moment at which it can have been signed.
func (c Claim) made() time.Time {
	if c.Ahead == 0 {
		return c.Time.Add(-30 * time.Second)
	}
	return c.Time.Add(-c.Ahead)
}

func (c Claim) check() error {
	switch {
	case c.Digest == [32]byte{}, c.Once == [32]byte{}, c.Time.IsZero():
		return fmt.Errorf("%w: a claim without digest, name or time", ErrNoEvidence)
	case c.Level < LevelDigest || c.Level > LevelBody:
		return fmt.Errorf("%w: a claim of no level", ErrNoEvidence)
	case c.Level > LevelDigest && (c.Method == "" || c.Path == ""):
		return fmt.Errorf("%w: a claim without method or path", ErrNoEvidence)
	case c.Level < LevelBody && c.Body != nil:
		return fmt.Errorf("%w: a body beyond the claim's level", ErrNoEvidence)
	case c.Ahead < 0, c.end().Before(c.Time), c.end().Sub(c.Time) > MaxEvidenceLife:
		return fmt.Errorf("%w: it verifies for too long", ErrNoEvidence)
	}
	return nil
}

// Evidence is what a customer signed, under one scheme. It is a claim until
// the firewall's [Verifier] of that scheme read it again. The zero value is no
// evidence and is refused everywhere. It is a plain value, safe to copy.
type Evidence struct {
	scheme tenant.Method
	raw    []byte
	claim  Claim
}

// NewEvidence is for packages that read the evidence of one scheme from a
// request: raw is what the scheme's [Verifier] will read, and c what the
// package made of it. Errors wrap [ErrNoEvidence].
func NewEvidence(scheme tenant.Method, raw []byte, c Claim) (Evidence, error) {
	if err := checkRaw(scheme, raw); err != nil {
		return Evidence{}, err
	}
	if err := c.check(); err != nil {
		return Evidence{}, err
	}
	c.Body = bytes.Clone(c.Body)
	return Evidence{scheme, bytes.Clone(raw), c}, nil
}

func checkRaw(scheme tenant.Method, raw []byte) error {
	if scheme == "" || len(scheme) > 32 {
		return fmt.Errorf("%w: of no scheme", ErrNoEvidence)
	}
	for _, c := range []byte(scheme) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("%w: of no scheme", ErrNoEvidence)
		}
	}
	if len(raw) == 0 || len(raw) > MaxEvidence {
		return fmt.Errorf("%w: %d bytes", ErrNoEvidence, len(raw))
	}
	return nil
}

// SigV4Evidence is the evidence of a request signed with AWS Signature Version
// 4. Errors wrap [ErrNoEvidence].
func SigV4Evidence(ev sigv4.Evidence) (Evidence, error) {
	raw, err := ev.MarshalBinary()
	if err != nil {
		return Evidence{}, fmt.Errorf("%w: %w", ErrNoEvidence, err)
	}
	return NewEvidence(tenant.MethodSigV4, raw, sigv4Claim(ev))
}

func sigv4Claim(ev sigv4.Evidence) Claim {
	digest := ev.Digest()
	// Two callers may sign the same call to the byte; neither uses up the
	// other's. An ECDSA signature has many forms, and what it signs has one.
	once := sha256.Sum256(append([]byte(ev.AccessKeyID()+"\x00"), digest[:]...))
	return Claim{Digest: digest, Once: once, Time: ev.Time(), Method: ev.Method(), Path: ev.Path(), Query: ev.Query(),
		Header: ev.Header, Body: ev.Body(), Level: Level(ev.Level())}
}

// Scheme returns how the evidence was signed.
func (e Evidence) Scheme() tenant.Method { return e.scheme }

// Claim returns what the evidence says of itself; it is zero for evidence that
// [ParseEvidence] read.
func (e Evidence) Claim() Claim { return e.claim }

// IsZero reports whether this is no evidence.
func (e Evidence) IsZero() bool { return e.scheme == "" }

// MarshalBinary returns the form that [ParseEvidence] reads. It opens what the
// evidence opens, and is kept as briefly.
func (e Evidence) MarshalBinary() ([]byte, error) {
	if e.IsZero() {
		return nil, ErrNoEvidence
	}
	return append(append([]byte(e.scheme), '\n'), e.raw...), nil
}

// ParseEvidence reads what [Evidence.MarshalBinary] wrote, without reading what
// the scheme's verifier will read: the claim of what it returns is empty.
// Errors wrap [ErrNoEvidence].
func ParseEvidence(b []byte) (Evidence, error) {
	scheme, raw, _ := bytes.Cut(b, []byte{'\n'})
	if err := checkRaw(tenant.Method(scheme), raw); err != nil {
		return Evidence{}, err
	}
	return Evidence{scheme: tenant.Method(scheme), raw: bytes.Clone(raw)}, nil
}
