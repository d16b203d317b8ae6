package awskms

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/kmsctx"
)

var (
	// ErrAnswer reports an answer that is not one to the question: for another
	// key, or not a data key's length.
	ErrAnswer = errors.New("awskms: the service answered for another key, or no data key")
	// ErrNoDryRun reports a probe that was carried out although it asked for
	// permissions only: this service does not know DryRun.
	ErrNoDryRun = errors.New("awskms: the service does not know DryRun")
)

func (r *Keyring) answer(op string) error {
	return &kmsctx.Error{Op: op, KeyID: r.key.String(), Err: ErrAnswer}
}

// mapped gives an error of the client its class. The errors that KMS does not
// model, AccessDenied and Throttling among them, exist as codes only.
func (r *Keyring) mapped(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &kmsctx.Error{Op: op, Kind: kmsctx.ErrUnavailable, KeyID: r.key.String(), Err: err}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return e
	}
	switch api.ErrorCode() {
	case "InvalidCiphertextException", "IncorrectKeyException":
		e.Kind = kmsctx.ErrInvalidCiphertext
	case "AccessDeniedException", "AccessDenied", "InvalidGrantTokenException", "UnrecognizedClientException",
		"InvalidSignatureException", "ExpiredTokenException", "IncompleteSignatureException", "MissingAuthenticationTokenException":
		e.Kind = kmsctx.ErrNotAuthorized
		if tokenless(ctx) && strings.HasPrefix(api.ErrorCode(), "AccessDenied") {
			e.Err = fmt.Errorf("%w: %w", kmsctx.ErrGrantPending, err)
		}
	case "DisabledException":
		e.Kind = kmsctx.ErrKeyDisabled
	case "KMSInvalidStateException":
		if strings.Contains(strings.ToLower(api.ErrorMessage()), "pending deletion") {
			e.Kind = kmsctx.ErrKeyPendingDeletion
		}
	case "NotFoundException":
		e.Kind = kmsctx.ErrKeyNotFound
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "LimitExceededException", "RequestLimitExceeded":
		e.Kind = kmsctx.ErrThrottled
	}
	return e
}
