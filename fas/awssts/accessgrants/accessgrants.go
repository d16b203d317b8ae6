package accessgrants

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3control"
	"github.com/aws/aws-sdk-go-v2/service/s3control/types"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/awssts"
	"github.com/cloisterdev/cloister/tenant"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrConfig  = errors.New("accessgrants: a part is missing")
	ErrGrant   = errors.New("accessgrants: not a grant to issue for")
	ErrAccount = errors.New("accessgrants: no account for this tenant")
	ErrRefused = errors.New("accessgrants: refused by S3")
	ErrService = errors.New("accessgrants: no usable answer from S3")
)

// S3Control is what this package uses of an [s3control.Client].
type S3Control interface {
	GetDataAccess(context.Context, *s3control.GetDataAccessInput, ...func(*s3control.Options)) (*s3control.GetDataAccessOutput, error)
}

// Accounts finds the account whose S3 Access Grants instance holds a tenant's
// grants: twelve digits. It must be safe for concurrent use.
type Accounts interface {
	Account(context.Context, tenant.ID) (string, error)
}

// Issuer makes credentials by GetDataAccess. It implements [fas.Issuer].
type Issuer struct {
	client   S3Control
	accounts Accounts
}

// New refuses a nil part with [ErrConfig].
func New(client S3Control, accounts Accounts) (*Issuer, error) {
	if client == nil || accounts == nil {
		return nil, ErrConfig
	}
	return &Issuer{client, accounts}, nil
}

const life = 15 * time.Minute // S3 Access Grants gives nothing shorter

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	bucketForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
)

// Issue implements [fas.Issuer]. Errors wrap [ErrGrant], [ErrAccount],
// [ErrRefused] or [ErrService]; no credentials come with one.
func (i *Issuer) Issue(ctx context.Context, g fas.Grant) (fas.Credentials, error) {
	bucket, prefix := g.Bucket()
	left := time.Until(g.Expires())
	// A star in a prefix would be S3's wildcard.
	if g.Session().IsZero() || g.Evidence() == [32]byte{} || left <= 0 || left > life ||
		!bucketForm.MatchString(bucket) || !strings.HasSuffix(prefix, "/") || strings.Contains(prefix, "*") {
		return fas.Credentials{}, ErrGrant
	}
	account, err := i.accounts.Account(ctx, g.Caller().Tenant())
	if err != nil {
		return fas.Credentials{}, fmt.Errorf("%w: %w", ErrAccount, err)
	}
	if !accountForm.MatchString(account) {
		return fas.Credentials{}, ErrAccount
	}
	out, err := i.client.GetDataAccess(ctx, &s3control.GetDataAccessInput{
		AccountId: aws.String(account), Target: aws.String("s3://" + bucket + "/" + prefix + "*"), Permission: types.PermissionRead,
		Privilege: types.PrivilegeMinimal, DurationSeconds: aws.Int32(int32(life / time.Second)),
		AuditContext: aws.String(awssts.SourceIdentity(g.Evidence())),
	})
	if err != nil {
		var api smithy.APIError
		if errors.As(err, &api) && api.ErrorCode() == "AccessDenied" {
			return fas.Credentials{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return fas.Credentials{}, fmt.Errorf("%w: %w", ErrService, err)
	}
	return taken(out, bucket, prefix)
}

func taken(out *s3control.GetDataAccessOutput, bucket, prefix string) (fas.Credentials, error) {
	if out == nil || out.Credentials == nil {
		return fas.Credentials{}, ErrService
	}
	c := out.Credentials
	id, secret, token := aws.ToString(c.AccessKeyId), aws.ToString(c.SecretAccessKey), aws.ToString(c.SessionToken)
	if id == "" || secret == "" || token == "" || c.Expiration == nil || !c.Expiration.After(time.Now()) {
		return fas.Credentials{}, fmt.Errorf("%w: credentials that are not whole, or over", ErrService)
	}
	// The grant that matched covers the prefix, or it is another's.
	granted, isPattern := strings.CutSuffix(aws.ToString(out.MatchedGrantTarget), "*")
	if !isPattern || !strings.HasPrefix("s3://"+bucket+"/"+prefix, granted) || !strings.HasPrefix(granted, "s3://"+bucket+"/") && granted != "s3://" {
		return fas.Credentials{}, fmt.Errorf("%w: credentials for another place", ErrService)
	}
	return fas.Credentials{AccessKeyID: id, Secret: tenant.NewSecret([]byte(secret)), Token: token}, nil
}
