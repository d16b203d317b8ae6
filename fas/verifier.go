package fas

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// Verifier decides about the evidence of one scheme, inside the firewall. It
// reads raw again and knows nothing of what a front end made of it. An error,
// whatever it is, is a refusal: the caller is told [ErrDenied], and the audit
// log the reason that the error wraps: [ErrTime], [ErrAudience] or
// [ErrUnavailable], and "bad signature" for every other. The claim beside an
// error is for the record only. Verify is called concurrently.
type Verifier interface {
	Verify(ctx context.Context, raw []byte, now time.Time) (Identity, Claim, error)
}

// Reasons of a [Verifier] that the audit log tells apart. No caller sees them.
var (
	ErrTime        = errors.New("fas: signed at the wrong time")
	ErrAudience    = errors.New("fas: signed for somebody else")
	ErrUnavailable = errors.New("fas: who could say is not to be had")
)

// sigv4Verifier verifies SigV4 evidence against the secrets of access keys.
type sigv4Verifier struct {
	ids Identities
	v   *sigv4.Verifier
}

// sigv4Life is the default of [sigv4.Options].
const sigv4Life = 5 * time.Minute

func newSigV4Verifier(c Config) (Verifier, error) {
	if c.Region == "" || c.Service == "" {
		return nil, fmt.Errorf("%w: identities without region or service", ErrConfig)
	}
	keys := func(string) (sigv4.Key, bool) { return sigv4.Key{}, false } // Verify looks up by itself
	v, err := sigv4.NewVerifier(keys, sigv4.Options{Region: c.Region, Service: c.Service, MaxPast: sigv4Life, MinLevel: sigv4.LevelDigest})
	return sigv4Verifier{c.Identities, v}, err
}

// Verify implements [Verifier].
func (s sigv4Verifier) Verify(_ context.Context, raw []byte, now time.Time) (id Identity, c Claim, err error) {
	ev, err := sigv4.ParseEvidence(raw)
	if err != nil {
		return id, c, err
	}
	c = sigv4Claim(ev)
	c.Until = ev.Time().Add(sigv4Life)
	id, known := s.ids.Lookup(ev.AccessKeyID())
	err = s.v.VerifyKey(ev, sigv4.Key{Secret: id.Secret}, known, now)
	switch {
	case errors.Is(err, sigv4.ErrSkew):
		err = ErrTime
	case errors.Is(err, sigv4.ErrScope):
		err = ErrAudience
	}
	return id, c, err
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrTime):
		return "wrong-time"
	case errors.Is(err, ErrAudience):
		return "wrong-scope"
	case errors.Is(err, ErrUnavailable):
		return "verifier-unavailable"
	case errors.Is(err, ErrNoEvidence), errors.Is(err, sigv4.ErrMalformed):
		return "malformed-evidence"
	}
	return "bad-signature"
}
