package localkms

import (
	"errors"
	"fmt"

	"github.com/cloisterdev/cloister/kmsctx"
)

// Error is a refusal, with the code that AWS KMS has for it. The sentinels
// below are errors of this type; those that kmsctx knows too match its
// sentinel with [errors.Is].
type Error struct {
	code, text string
	kind       error
}

// Error returns the text.
func (e *Error) Error() string { return "localkms: " + e.text }

// Code returns AWS's code, such as "DisabledException".
func (e *Error) Code() string { return e.code }

// Is makes a refusal match kmsctx's sentinel for it.
func (e *Error) Is(target error) bool { return e.kind != nil && target == e.kind }

func refusal(code, text string, kind error) error { return &Error{code, text, kind} }

// The sentinel errors of this package; see the package documentation.
var (
	ErrNotAuthorized     = refusal("AccessDeniedException", "not authorized", kmsctx.ErrNotAuthorized)
	ErrKeyDisabled       = refusal("DisabledException", "key disabled", kmsctx.ErrKeyDisabled)
	ErrPendingDeletion   = refusal("KMSInvalidStateException", "key is pending deletion", kmsctx.ErrKeyPendingDeletion)
	ErrState             = refusal("KMSInvalidStateException", "not in this state of the key", nil)
	ErrUnknown           = refusal("NotFoundException", "no such key", kmsctx.ErrKeyNotFound)
	ErrInvalidCiphertext = refusal("InvalidCiphertextException", "invalid ciphertext", kmsctx.ErrInvalidCiphertext)
	ErrIncorrectKey      = refusal("IncorrectKeyException", "the ciphertext is of another key", kmsctx.ErrInvalidCiphertext)
	ErrGrantToken        = refusal("InvalidGrantTokenException", "not a grant token", kmsctx.ErrNotAuthorized)
	ErrGrantID           = refusal("InvalidGrantIdException", "not a grant ID", nil)
	ErrLimit             = refusal("LimitExceededException", "limit exceeded", kmsctx.ErrThrottled)
	ErrInvalid           = refusal("ValidationException", "not accepted", nil)
	ErrUnsupported       = refusal("UnsupportedOperationException", "not supported", nil)
	ErrExists            = refusal("AlreadyExistsException", "exists already", nil)
	ErrAlias             = refusal("InvalidAliasNameException", "not an alias name", nil)
	ErrARN               = refusal("InvalidArnException", "not an ARN", nil)
	ErrPolicy            = refusal("MalformedPolicyDocumentException", "key policy not accepted", nil)
	ErrTag               = refusal("TagException", "tag not accepted", nil)
	ErrMarker            = refusal("InvalidMarkerException", "not a marker", nil)
	ErrDryRun            = refusal("DryRunOperationException", "the request would have succeeded, but the DryRun option is set", nil)
	ErrCorrupt           = refusal("KMSInternalException", "store does not open", nil)
	ErrAudit             = refusal("KMSInternalException", "the call could not be recorded", kmsctx.ErrUnavailable)
)

// Code returns the code of a refusal; "KMSInternalException" for other errors,
// "" for nil.
func Code(err error) string {
	if err == nil {
		return ""
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.code
	}
	return "KMSInternalException"
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}
