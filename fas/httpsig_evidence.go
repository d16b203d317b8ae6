package fas

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/fas/httpsig"
	"github.com/cloisterdev/cloister/tenant"
)

// PublicKeys finds the key of a key id and whom it belongs to; the identity's
// Secret stays empty. It is called concurrently.
type PublicKeys interface {
	LookupPublic(keyID string) (Identity, ed25519.PublicKey, bool)
}

// HTTPSignatureEvidence is the evidence of a request signed as RFC 9421 says.
// Errors wrap [ErrNoEvidence].
func HTTPSignatureEvidence(ev httpsig.Evidence) (Evidence, error) {
	raw, err := ev.MarshalBinary()
	if err != nil {
		return Evidence{}, fmt.Errorf("%w: %w", ErrNoEvidence, err)
	}
	return NewEvidence(tenant.MethodHTTPSignature, raw, httpsigClaim(ev, httpsig.Options{}))
}

func httpsigClaim(ev httpsig.Evidence, o httpsig.Options) Claim {
	c := Claim{Digest: ev.Digest(), Once: ev.Once(), Time: ev.Time(), Method: ev.Method(), Path: ev.Path(), Query: ev.Query(),
		Header: ev.Header, Body: ev.Body(), Level: LevelCanonical}
	if c.Body != nil || ev.PayloadHash() == sha256.Sum256(nil) {
		c.Level = LevelBody
	}
	past, future := o.Window()
	c.Until, c.Ahead = c.Time.Add(past), future
	if end, ok := ev.Expires(); ok && end.Before(c.Until) {
		c.Until = end
	}
	return c
}

// HTTPSignatureVerifier is the verifier of [tenant.MethodHTTPSignature]. It
// refuses nil keys, and options that name no host, with [ErrConfig].
func HTTPSignatureVerifier(keys PublicKeys, o httpsig.Options) (Verifier, error) {
	if keys == nil || len(o.Authorities) == 0 {
		return nil, fmt.Errorf("%w: HTTP signatures without keys or hosts", ErrConfig)
	}
	return httpsigVerifier{keys, o}, nil
}

type httpsigVerifier struct {
	keys PublicKeys
	o    httpsig.Options
}

// Verify implements [Verifier].
func (h httpsigVerifier) Verify(_ context.Context, raw []byte, now time.Time) (id Identity, c Claim, err error) {
	ev, err := httpsig.ParseEvidence(raw)
	if err != nil {
		return id, c, fmt.Errorf("%w: %w", ErrNoEvidence, err)
	}
	c = httpsigClaim(ev, h.o)
	err = httpsig.Verify(ev, func(keyID string) (key ed25519.PublicKey, known bool) {
		id, key, known = h.keys.LookupPublic(keyID)
		return key, known
	}, now, h.o)
	switch {
	case errors.Is(err, httpsig.ErrSkew):
		err = ErrTime
	case errors.Is(err, httpsig.ErrAuthority):
		err = ErrAudience
	}
	if err != nil {
		return Identity{}, c, err
	}
	return id, c, nil
}
