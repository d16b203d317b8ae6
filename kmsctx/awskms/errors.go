package awskms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

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

// failed is the error of one call that the client made.
func (r *Keyring) failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	kind, cause := class(ctx, err)
	return &kmsctx.Error{Op: op, Kind: kind, KeyID: r.key.String(), Err: cause}
}

// noMatch is the error of a call for several records. What was said of each
// stands there without the operation and the key, which are the same for all.
func (r *Keyring) noMatch(op string, said []error) error {
	return &kmsctx.Error{Op: op, Kind: kmsctx.ErrNoMatchingKey, KeyID: r.key.String(), Err: errors.Join(said...)}
}

// refusal is what the client said of one record.
func refusal(ctx context.Context, err error) error {
	kind, cause := class(ctx, err)
	if kind == nil {
		return cause
	}
	return fmt.Errorf("%w: %w", kind, cause)
}

// class gives an error of the client its sentinel, or none where the same call
// would be refused again and no sentinel says why. The errors that KMS does not
// model, AccessDenied and Throttling among them, exist as codes only.
func class(ctx context.Context, err error) (kind, cause error) {
	var code, text string
	var api smithy.APIError
	if errors.As(err, &api) {
		code, text = api.ErrorCode(), api.ErrorMessage()
	}
	switch code {
	case "InvalidCiphertextException", "IncorrectKeyException":
		return kmsctx.ErrInvalidCiphertext, err
	case "AccessDeniedException", "AccessDenied":
		if tokenless(ctx) {
			err = fmt.Errorf("%w: %w", kmsctx.ErrGrantPending, err)
		}
		return kmsctx.ErrNotAuthorized, err
	case "InvalidGrantTokenException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException",
		"IncompleteSignatureException", "MissingAuthenticationTokenException", "MissingAuthenticationToken":
		return kmsctx.ErrNotAuthorized, err
	case "DisabledException":
		return kmsctx.ErrKeyDisabled, err
	case "KMSInvalidStateException":
		if strings.Contains(strings.ToLower(text), "pending deletion") {
			return kmsctx.ErrKeyPendingDeletion, err
		}
		return kmsctx.ErrUnavailable, err // such as a key store that is not connected
	case "NotFoundException":
		return kmsctx.ErrKeyNotFound, err
	}
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return kmsctx.ErrThrottled, err
	}
	return classOfStatus(err, api), err
}

// classOfStatus tells by the status what may succeed later. An error without a
// response came about before a request was sent; a request without an answer
// has a response of status 0.
func classOfStatus(err error, api smithy.APIError) error {
	status := -1
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		status = resp.HTTPStatusCode()
	} else if api != nil && api.ErrorFault() == smithy.FaultClient {
		status = http.StatusBadRequest
	}
	switch {
	case status == http.StatusTooManyRequests:
		return kmsctx.ErrThrottled
	case status >= 500, status >= 0 && status < 400, status == http.StatusRequestTimeout:
		return kmsctx.ErrUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden, strings.Contains(err.Error(), noCredentials):
		return kmsctx.ErrNotAuthorized
	case status >= 400:
		return nil
	}
	return kmsctx.ErrUnavailable
}

// noCredentials is how the client says that it got none to sign with; it has no
// type for it.
const noCredentials = "get identity: "
