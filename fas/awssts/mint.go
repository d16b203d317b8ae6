package awssts

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/policy"
)

// Mint says what a caller makes for a firewall: a session of a role of its own,
// for one request.
type Mint struct {
	// RoleARN is a role in the caller's account.
	RoleARN string
	// ExternalID is what the role's trust policy demands; empty if nothing.
	ExternalID string
	// Scope is the policy of what the service may do. An empty one is refused.
	Scope []byte
	// TTL is how long; zero means 15 minutes, at most an hour.
	TTL time.Duration
	// To is the firewall's key. Digest names the request as its evidence does:
	// [CallDigest] with a proof of caller, the digest of the sigv4 evidence with
	// a signed request. It is known before the request is sent, and the sealed
	// session goes along unsigned.
	To     SealingKey
	Digest [32]byte
	// WithoutFence is for servers that are not AWS; see [Options].
	WithoutFence bool
}

// Sealed assumes the role, in the caller's own process and account, and seals
// the session for the firewall: the service has access to nothing until it has
// this and the request in hand, and AWS enforces that. Errors wrap [ErrScope],
// [ErrTooLarge], [ErrPacked], [ErrRole], [ErrRefused], [ErrService] or
// [ErrConfig].
func (m Mint) Sealed(ctx context.Context, client STS) ([]byte, error) {
	if client == nil || m.To.pub == nil || m.Digest == [32]byte{} || m.TTL < 0 || m.TTL > longest {
		return nil, ErrConfig
	}
	if !roleARN.MatchString(m.RoleARN) {
		return nil, ErrRole
	}
	scope, err := policy.Parse(m.Scope)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrScope, err)
	}
	if m.TTL == 0 {
		m.TTL = shortest
	}
	until := time.Now().Add(m.TTL)
	text, err := bounded(scope, until, !m.WithoutFence)
	if err != nil {
		return nil, err
	}
	in := &sts.AssumeRoleInput{RoleArn: aws.String(m.RoleARN), RoleSessionName: aws.String("fas-sealed"), DurationSeconds: aws.Int32(seconds(m.TTL)),
		Policy: aws.String(text)}
	if m.ExternalID != "" {
		in.ExternalId = aws.String(m.ExternalID)
	}
	out, err := client.AssumeRole(ctx, in)
	if err != nil {
		return nil, failure(err)
	}
	c, err := taken(out, in)
	if err != nil {
		return nil, err
	}
	defer c.Secret.Destroy()
	return Seal(m.To, m.Digest, CallerKeys{AccessKeyID: c.AccessKeyID, Secret: c.Secret, Token: c.Token, Expires: until})
}

// Envelopes finds the sealed session that came with a signed call, by the
// digest of its evidence. It must be safe for concurrent use.
type Envelopes interface {
	Envelope(evidence [32]byte) (sealed []byte, ok bool)
}

// SealedIssuer opens what callers sealed; the service itself has no role to
// assume. It implements [fas.Issuer] and is safe for concurrent use.
type SealedIssuer struct {
	opener    *Opener
	envelopes Envelopes
}

// NewSealedIssuer refuses a nil part with [ErrConfig].
func NewSealedIssuer(o *Opener, e Envelopes) (*SealedIssuer, error) {
	if o == nil || e == nil {
		return nil, ErrConfig
	}
	return &SealedIssuer{o, e}, nil
}

// Issue implements [fas.Issuer]. The scope of the keys is what the caller gave
// them, which nobody here can read: the layers of the grant are not in them.
// Errors wrap [ErrGrant], [ErrSealed] or [ErrExpired].
func (i *SealedIssuer) Issue(_ context.Context, g fas.Grant) (fas.Credentials, error) {
	if g.Session().IsZero() || g.Evidence() == [32]byte{} || !time.Now().Before(g.Expires()) {
		return fas.Credentials{}, ErrGrant
	}
	sealed, ok := i.envelopes.Envelope(g.Evidence())
	if !ok {
		return fas.Credentials{}, ErrSealed
	}
	k, err := i.opener.Open(sealed, g.Evidence())
	if err != nil {
		return fas.Credentials{}, err
	}
	return fas.Credentials{AccessKeyID: k.AccessKeyID, Secret: k.Secret, Token: k.Token}, nil
}
