package awssts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// STS is what this package uses of an [sts.Client].
type STS interface {
	AssumeRole(context.Context, *sts.AssumeRoleInput, ...func(*sts.Options)) (*sts.AssumeRoleOutput, error)
}

// Role is what a tenant gave the service: a role in the tenant's own account,
// and the external ID that its trust policy demands.
type Role struct {
	ARN        string
	ExternalID string
}

// Roles finds the role of a tenant. An error, and a zero Role, refuse. It must
// be safe for concurrent use.
type Roles interface {
	Role(context.Context, tenant.ID) (Role, error)
}

// Options of [NewIssuer]. The zero value is for AWS.
type Options struct {
	// WithoutFence leaves the explicit denials out of the session policy, for
	// servers that speak AssumeRole and refuse such a policy. Never set it for
	// AWS: there a policy on a resource could then reach past the scope-down.
	WithoutFence bool
}

// Issuer makes credentials by AssumeRole with a session policy. It implements
// [fas.Issuer] and is safe for concurrent use.
type Issuer struct {
	sts   STS
	roles Roles
	fence bool
}

// NewIssuer refuses a nil part with [ErrConfig]. A nil opts means the defaults.
// The client's own credentials should be those of the firewall's role and of
// nothing else: whoever holds them can assume every tenant's role.
func NewIssuer(client STS, roles Roles, opts *Options) (*Issuer, error) {
	if client == nil || roles == nil {
		return nil, ErrConfig
	}
	if opts == nil {
		opts = &Options{}
	}
	return &Issuer{sts: client, roles: roles, fence: !opts.WithoutFence}, nil
}

const (
	// AWS gives nothing shorter, and nothing longer to a chained role.
	shortest = 15 * time.Minute
	longest  = time.Hour
)

var (
	roleARN    = regexp.MustCompile(`^arn:aws(?:-cn|-us-gov)?:iam::([0-9]{12}):role/(?:[\x21-\x7e]+/)?([\w+=,.@-]{1,64})$`)
	externalID = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
)

// Issue implements [fas.Issuer]. The credentials end at the grant's end by the
// session policy, though STS lets none live for less than 15 minutes. Errors
// wrap [ErrGrant], [ErrScope], [ErrTooLarge], [ErrPacked], [ErrRole],
// [ErrRefused] or [ErrService]; no credentials come with one.
//
// Source: AWS STS API Reference, AssumeRole.
func (i *Issuer) Issue(ctx context.Context, g fas.Grant) (fas.Credentials, error) {
	left := time.Until(g.Expires())
	if g.Session().IsZero() || g.Customization().IsZero() || g.Evidence() == [32]byte{} || left <= 0 || left > longest {
		return fas.Credentials{}, ErrGrant
	}
	profile, scope := g.Layers()
	text, err := sessionPolicy(profile, scope, g.Expires(), i.fence)
	if err != nil {
		return fas.Credentials{}, err
	}
	role, err := i.roles.Role(ctx, g.Caller().Tenant())
	if err != nil {
		return fas.Credentials{}, fmt.Errorf("%w: %w", ErrRole, err)
	}
	if !roleARN.MatchString(role.ARN) || !externalID.MatchString(role.ExternalID) || len(role.ExternalID) < 2 || len(role.ExternalID) > 1224 {
		return fas.Credentials{}, ErrRole
	}
	in := &sts.AssumeRoleInput{
		RoleArn:         aws.String(role.ARN),
		RoleSessionName: aws.String(g.Customization().String()),
		ExternalId:      aws.String(role.ExternalID),
		SourceIdentity:  aws.String(SourceIdentity(g.Evidence())),
		DurationSeconds: aws.Int32(seconds(left)),
		Policy:          aws.String(text),
		Tags: []types.Tag{
			{Key: aws.String("tenant"), Value: aws.String(g.Caller().Tenant().String())},
			{Key: aws.String("customization"), Value: aws.String(g.Customization().String())},
		},
	}
	out, err := i.sts.AssumeRole(ctx, in)
	if err != nil {
		return fas.Credentials{}, failure(err)
	}
	return taken(out, in)
}

// SourceIdentity is how a signed call is named in CloudTrail: "fas-" and 16
// bytes of the SHA-256 of its digest, in base32. A role's trust policy can
// demand that a session carries one.
func SourceIdentity(evidence [32]byte) string {
	sum := sha256.Sum256(evidence[:])
	return "fas-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

// seconds is the life to ask STS for.
func seconds(left time.Duration) int32 {
	return int32(max(left+time.Second-1, shortest) / time.Second)
}

// taken checks the answer before anything of it counts.
func taken(out *sts.AssumeRoleOutput, in *sts.AssumeRoleInput) (fas.Credentials, error) {
	if out == nil || out.Credentials == nil {
		return fas.Credentials{}, ErrService
	}
	c := out.Credentials
	id, secret, token := aws.ToString(c.AccessKeyId), aws.ToString(c.SecretAccessKey), aws.ToString(c.SessionToken)
	if id == "" || secret == "" || token == "" {
		return fas.Credentials{}, fmt.Errorf("%w: not temporary credentials", ErrService)
	}
	if c.Expiration == nil || !c.Expiration.After(time.Now()) {
		return fas.Credentials{}, fmt.Errorf("%w: credentials that are over", ErrService)
	}
	if u := out.AssumedRoleUser; u != nil && aws.ToString(u.Arn) != "" && !sameRole(*u.Arn, *in.RoleArn, *in.RoleSessionName) {
		return fas.Credentials{}, fmt.Errorf("%w: a session of another role", ErrService)
	}
	if s := aws.ToString(out.SourceIdentity); s != "" && in.SourceIdentity != nil && s != *in.SourceIdentity {
		return fas.Credentials{}, fmt.Errorf("%w: a session of another source", ErrService)
	}
	return fas.Credentials{AccessKeyID: id, Secret: tenant.NewSecret([]byte(secret)), Token: token}, nil
}

// sameRole reports whether a session's ARN is of the role: the account and the
// last part of the name, since a session's ARN has no path.
func sameRole(session, role, name string) bool {
	m := roleARN.FindStringSubmatch(role)
	if m == nil {
		return false
	}
	partition := strings.SplitN(role, ":", 3)[1]
	return session == "arn:"+partition+":sts::"+m[1]+":assumed-role/"+m[2]+"/"+name
}

// failure gives an error of the SDK its class.
func failure(err error) error {
	var packed *types.PackedPolicyTooLargeException
	var api smithy.APIError
	switch {
	case errors.As(err, &packed):
		return fmt.Errorf("%w: %w", ErrPacked, err)
	case errors.As(err, &api) && (api.ErrorCode() == "AccessDenied" || api.ErrorCode() == "AccessDeniedException"):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return fmt.Errorf("%w: %w", ErrService, err)
}
