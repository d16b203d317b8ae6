package awssts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// MethodCaller is the scheme of evidence that a proof of caller makes.
const MethodCaller tenant.Method = "aws-caller"

// Accounts says which user of which tenant an AWS caller is. It decides by
// account and role or user, never by the name of a session. It must be safe
// for concurrent use.
type Accounts interface {
	Identity(ctx context.Context, c AWSCaller) (fas.Identity, bool)
}

type call struct {
	Proof  json.RawMessage `json:"proof"`
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   []byte          `json:"body,omitempty"`
}

// Evidence is the evidence of a request that came with a proof of its
// [CallDigest]. Errors wrap [ErrProof], [ErrAudience] or [fas.ErrNoEvidence].
func Evidence(p Proof, method, path string, body []byte) (fas.Evidence, error) {
	raw, err := p.MarshalBinary()
	if err != nil {
		return fas.Evidence{}, err
	}
	c := call{raw, method, path, body}
	if raw, err = unescaped(c); err != nil {
		return fas.Evidence{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	_, claim, err := readCall(raw)
	if err != nil {
		return fas.Evidence{}, err
	}
	return fas.NewEvidence(MethodCaller, raw, claim)
}

// readCall reads a call and what it claims: that the proof is for it, which
// only STS can say, is not decided here.
func readCall(raw []byte) (Proof, fas.Claim, error) {
	var c call
	if json.Unmarshal(raw, &c) != nil || c.Method == "" || c.Path == "" {
		return Proof{}, fas.Claim{}, ErrProof
	}
	if again, err := unescaped(c); err != nil || !bytes.Equal(again, raw) {
		return Proof{}, fas.Claim{}, ErrProof
	}
	p, err := ParseProof(c.Proof)
	if err != nil {
		return Proof{}, fas.Claim{}, err
	}
	claim := fas.Claim{Digest: CallDigest(c.Method, c.Path, c.Body), Once: p.once(""), Time: p.time(), Until: p.time().Add(proofKept), Ahead: proofSkew,
		Method: c.Method, Path: c.Path, Level: fas.LevelCanonical}
	if len(c.Body) > 0 {
		claim.Body, claim.Level = c.Body, fas.LevelBody
	}
	return p, claim, nil
}

// Scheme returns the [fas.Verifier] of [MethodCaller]. The firewall's own
// replay store makes its evidence good once; that of v is not asked. A nil
// argument is refused with [ErrConfig].
func (v *ProofVerifier) Scheme(a Accounts) (fas.Verifier, error) {
	if v == nil || a == nil {
		return nil, ErrConfig
	}
	return scheme{v, a}, nil
}

type scheme struct {
	v *ProofVerifier
	a Accounts
}

// Verify implements [fas.Verifier].
func (s scheme) Verify(ctx context.Context, raw []byte, now time.Time) (fas.Identity, fas.Claim, error) {
	p, claim, err := readCall(raw)
	if err != nil {
		return fas.Identity{}, claim, fmt.Errorf("%w: %w", fas.ErrNoEvidence, err)
	}
	who, err := s.v.confirm(ctx, p, claim.Digest, now)
	switch {
	case errors.Is(err, ErrSkew):
		return fas.Identity{}, claim, fmt.Errorf("%w: %w", fas.ErrTime, err)
	case errors.Is(err, ErrAudience), errors.Is(err, ErrRegion):
		return fas.Identity{}, claim, fmt.Errorf("%w: %w", fas.ErrAudience, err)
	case errors.Is(err, ErrService):
		return fas.Identity{}, claim, fmt.Errorf("%w: %w", fas.ErrUnavailable, err)
	case err != nil:
		return fas.Identity{}, claim, err
	}
	id, ok := s.a.Identity(ctx, who)
	if !ok {
		return fas.Identity{}, claim, ErrProof
	}
	return id, claim, nil
}
