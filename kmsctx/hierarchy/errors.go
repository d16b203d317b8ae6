package hierarchy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/kmsctx"
)

var (
	// ErrNoBranchKey reports a context for which the supplier names no branch
	// key, or none that can be one.
	ErrNoBranchKey = errors.New("hierarchy: no branch key for this context")
	// ErrForeign reports a branch key that was created with pairs that the
	// message's context does not have.
	ErrForeign = errors.New("hierarchy: the branch key is another context's")
	// ErrItem reports an item of the table that is not the branch key asked
	// for: it has another form, another key or version, or another KMS key.
	ErrItem = errors.New("hierarchy: the table's item is no such branch key")
	// ErrAnswer reports an answer of KMS that is not one to the question: for
	// another key, or not a key's length.
	ErrAnswer = errors.New("hierarchy: KMS answered for another key, or no key")
	// ErrExists reports that a branch key of that ID exists already.
	ErrExists = errors.New("hierarchy: the branch key exists")
	// ErrChanged reports that the branch key was rotated or removed between
	// reading and writing. Nothing was written.
	ErrChanged = errors.New("hierarchy: the branch key changed meanwhile")
)

func fault(op string, kind error, why string) error {
	return &kmsctx.Error{Op: "hierarchy: " + op, Kind: kind, Err: errors.New(why)}
}

// said is an error of this package about one branch key.
func said(op, id string, err error) error {
	return &kmsctx.Error{Op: "hierarchy: " + op, KeyID: id, Err: err}
}

func badItem(op, id, why string) error {
	return said(op, id, fmt.Errorf("%w: %s", ErrItem, why))
}

// kinds are the codes of both services that mean something other than "it may
// succeed later".
var kinds = map[string]error{
	"InvalidCiphertextException":             kmsctx.ErrInvalidCiphertext,
	"IncorrectKeyException":                  kmsctx.ErrInvalidCiphertext,
	"AccessDeniedException":                  kmsctx.ErrNotAuthorized,
	"AccessDenied":                           kmsctx.ErrNotAuthorized,
	"InvalidGrantTokenException":             kmsctx.ErrNotAuthorized,
	"UnrecognizedClientException":            kmsctx.ErrNotAuthorized,
	"InvalidSignatureException":              kmsctx.ErrNotAuthorized,
	"ExpiredTokenException":                  kmsctx.ErrNotAuthorized,
	"IncompleteSignatureException":           kmsctx.ErrNotAuthorized,
	"MissingAuthenticationTokenException":    kmsctx.ErrNotAuthorized,
	"MissingAuthenticationToken":             kmsctx.ErrNotAuthorized,
	"DisabledException":                      kmsctx.ErrKeyDisabled,
	"NotFoundException":                      kmsctx.ErrKeyNotFound,
	"ThrottlingException":                    kmsctx.ErrThrottled,
	"Throttling":                             kmsctx.ErrThrottled,
	"TooManyRequestsException":               kmsctx.ErrThrottled,
	"LimitExceededException":                 kmsctx.ErrThrottled,
	"RequestLimitExceeded":                   kmsctx.ErrThrottled,
	"ProvisionedThroughputExceededException": kmsctx.ErrThrottled,
}

// mapped gives an error of either client its class.
func mapped(ctx context.Context, op, id string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &kmsctx.Error{Op: "hierarchy: " + op, Kind: kmsctx.ErrUnavailable, KeyID: id, Err: err}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return e
	}
	if kind := kinds[api.ErrorCode()]; kind != nil {
		e.Kind = kind
	}
	if api.ErrorCode() == "KMSInvalidStateException" && strings.Contains(strings.ToLower(api.ErrorMessage()), "pending deletion") {
		e.Kind = kmsctx.ErrKeyPendingDeletion
	}
	return e
}

// written gives the error of a transaction its class. unmet is what it means
// that a condition on an item was not met.
func written(ctx context.Context, op, id string, err, unmet error) error {
	var cancelled *ddb.TransactionCanceledException
	if ctx.Err() == nil && errors.As(err, &cancelled) {
		for _, r := range cancelled.CancellationReasons {
			if r.Code != nil && *r.Code == "ConditionalCheckFailed" {
				return said(op, id, unmet)
			}
		}
		return &kmsctx.Error{Op: "hierarchy: " + op, Kind: kmsctx.ErrThrottled, KeyID: id, Err: err}
	}
	return mapped(ctx, op, id, err)
}

// refused tells errors by which a service withdraws what it allowed before.
func refused(err error) bool {
	return errors.Is(err, kmsctx.ErrKeyDisabled) || errors.Is(err, kmsctx.ErrKeyPendingDeletion) || errors.Is(err, kmsctx.ErrNotAuthorized)
}
