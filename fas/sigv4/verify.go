package sigv4

import (
	"context"
	"crypto/ecdsa"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// Options bounds what [Verify] accepts.
type Options struct {
	// Region and Service are what callers must have signed for. Required.
	Region, Service string
	// MaxPast is how old a signature may be: zero means 5 minutes, and it is
	// at most 15.
	MaxPast time.Duration
	// MaxFuture is how far a caller's clock may be ahead: zero means 30
	// seconds, and it is at most 15 minutes.
	MaxFuture time.Duration
	// MinLevel is the least that evidence must say; zero means
	// [LevelCanonical]. A digest does not tell whether a request was presigned
	// or its payload unsigned: at [LevelDigest] that of either is accepted for
	// as long as others are, whatever Presigned and UnsignedPayload say.
	MinLevel Level
	// Presigned is for how long after signing a presigned request is
	// accepted, at most 7 days. What the caller signed can only shorten it.
	// Zero refuses presigned requests.
	Presigned time.Duration
	// UnsignedPayload accepts evidence that covers no body.
	UnsignedPayload bool
	// S3 makes the path rules those of S3, where segments such as ".." are
	// ordinary; it is implied for services whose name begins with "s3".
	// Elsewhere evidence with such a path is refused, although a capture with
	// the same rules would not have made it: who made it may be somebody else.
	S3 bool
	// SigV4A accepts ECDSA P-256 signatures. A refusal costs some
	// sixty times that of an HMAC.
	SigV4A bool
}

const maxWindow = 15 * time.Minute

// Key is what the signatures of one access key are verified with.
type Key struct {
	// Secret verifies SigV4 and, by the key derived from it, SigV4A.
	Secret tenant.Secret
	// Public verifies SigV4A. It takes precedence over Secret, and cannot be
	// used to sign.
	Public *ecdsa.PublicKey
}

// Keys finds the key of an access key id. It is called once a verification,
// must be safe for concurrent use, and should return the same [tenant.Secret]
// as long as the secret is the same: a copy of the bytes is taken for a new
// one. How long it looks for a key that is not there is its own affair.
type Keys func(accessKeyID string) (Key, bool)

// Verifier verifies evidence and keeps the signing keys of the day, a bounded
// number, for keys that signed something. A key that is destroyed or exchanged
// stops verifying at once. It is safe for concurrent use.
type Verifier struct {
	keys  Keys
	o     Options
	cache *cache
}

// NewVerifier refuses a nil keys, and options without region or service, with
// [ErrConfig].
func NewVerifier(keys Keys, o Options) (*Verifier, error) {
	if keys == nil || o.Region == "" || o.Service == "" {
		return nil, ErrConfig
	}
	return &Verifier{keys, o, newCache(cacheSize)}, nil
}

// Verify decides whether the evidence was signed with its access key, for this
// region and service, at about now. An unknown key and a wrong signature are
// one error, [ErrSignature], after the same computation.
func (v *Verifier) Verify(e Evidence, now time.Time) error {
	if e.IsZero() {
		return ErrNoSignature
	}
	k, known := v.keys(e.accessKeyID)
	return v.VerifyKey(e, k, known, now)
}

// VerifyKey is [Verifier.Verify] for who has looked up the key already. A key
// that is not known is verified against one that nobody has.
func (v *Verifier) VerifyKey(e Evidence, k Key, known bool, now time.Time) error {
	return verify(&e, k, known, now, &v.o, v.cache)
}

// Check is [Verifier.Verify] at this moment.
func (v *Verifier) Check(_ context.Context, e Evidence) error { return v.Verify(e, time.Now()) }

// Wipe forgets the signing keys of the day.
func (v *Verifier) Wipe() { v.cache.wipe() }

// Verify is [Verifier.Verify] for SigV4 without a cache of signing keys.
func Verify(e Evidence, key func(accessKeyID string) (tenant.Secret, bool), now time.Time, o Options) error {
	if e.IsZero() || key == nil || o.Region == "" || o.Service == "" {
		return ErrNoSignature
	}
	secret, known := key(e.accessKeyID)
	return verify(&e, Key{Secret: secret}, known, now, &o, nil)
}

func verify(e *Evidence, k Key, known bool, now time.Time, o *Options, c *cache) error {
	if err := e.allowed(o); err != nil {
		return err
	}
	// Whoever has no key learns nothing of where and when it would serve; and
	// only what is in place gets a place in the cache.
	misplaced := e.misplaced(now, o)
	var match bool
	if e.ecdsa {
		match = c.matchECDSA(e, k, known, misplaced == nil)
	} else {
		match = c.matchHMAC(e, k.Secret, known, misplaced == nil)
	}
	if !match {
		return ErrSignature
	}
	return misplaced
}

// allowed checks what depends on nothing secret.
func (e *Evidence) allowed(o *Options) error {
	least := o.MinLevel
	if least == 0 {
		least = LevelCanonical
	}
	switch {
	case e.IsZero():
		return ErrNoSignature
	case e.Level() < least:
		return ErrLevel
	case e.ecdsa && !o.SigV4A:
		return refuse("algorithm", ErrAlgorithm)
	case e.presigned && o.Presigned <= 0:
		return refuse("query", ErrPresigned)
	case e.payload == unsigned && !o.UnsignedPayload:
		return refuse("X-Amz-Content-Sha256", ErrUnsignedPayload)
	case e.canonical == "" || o.S3 || strings.HasPrefix(o.Service, "s3"):
		return nil
	}
	return e.plainPath()
}

// plainPath refuses an ambiguous path of a service that escapes paths twice:
// one escape undone is the path as it was sent.
func (e *Evidence) plainPath() error {
	if strings.IndexByte(e.path, '%') < 0 {
		return plainPath(e.path)
	}
	s := borrow()
	defer s.release()
	raw, ok := unescape(s.out[:0], e.path)
	if s.out = raw; !ok {
		return refuse("path", ErrMalformed)
	}
	return plainPath(string(raw))
}

func (e *Evidence) misplaced(now time.Time, o *Options) error {
	in := e.region == o.Region
	if e.ecdsa {
		in = inSet(e.region, o.Region)
	}
	if !in || e.service != o.Service {
		return ErrScope
	}
	past, future := o.MaxPast, o.MaxFuture
	if past == 0 {
		past = 5 * time.Minute
	}
	if future == 0 {
		future = 30 * time.Second
	}
	past, future = min(past, maxWindow), min(future, maxWindow)
	late := ErrSkew
	if e.presigned {
		past, late = min(e.expires, o.Presigned, maxExpires*time.Second), ErrExpired
	}
	switch age := now.Sub(e.at); {
	case age > past:
		return fmt.Errorf("%w: %s ago", late, age.Round(time.Second))
	case age < -future:
		return fmt.Errorf("%w: %s ahead", ErrSkew, (-age).Round(time.Second))
	}
	return nil
}

// inSet reports whether a region is in a region set: a list of regions, each
// of which may end in *.
func inSet(set, region string) bool {
	for more := true; more; {
		var p string
		p, set, more = strings.Cut(set, ",")
		if prefix, wild := strings.CutSuffix(p, "*"); p == region || wild && strings.HasPrefix(region, prefix) {
			return true
		}
	}
	return false
}

func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
