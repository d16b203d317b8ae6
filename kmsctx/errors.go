package kmsctx

import (
	"errors"
	"fmt"
	"strconv"
)

// The classes of failure. Every error of this package is one of them, or what
// the keyring, the reader or the writer returned; [errors.Is] tells. None of
// them carries key bytes, plaintext or context values.
var (
	// ErrContext reports a context that is missing, breaks the rules of its
	// constructor, or lacks a key that [Options] require.
	ErrContext = errors.New("encryption context not accepted")
	// ErrContextMismatch reports a message sealed under another context than
	// the one expected. It is decided before the key service is asked.
	ErrContextMismatch = errors.New("encryption context does not match")
	// ErrNoMatchingKey reports that no encrypted data key opens.
	ErrNoMatchingKey = errors.New("no encrypted data key opens")
	// ErrCommitment reports a data key that the message does not commit to.
	ErrCommitment = errors.New("key commitment does not match")
	// ErrHeaderAuth reports an altered header, or a withheld context pair with
	// another value.
	ErrHeaderAuth = errors.New("header does not verify")
	// ErrFrameAuth reports an altered, moved or foreign frame.
	ErrFrameAuth = errors.New("frame does not verify")
	// ErrSignature reports a missing, altered or foreign signature.
	ErrSignature = errors.New("signature does not verify")
	// ErrTruncated reports a message that ends early.
	ErrTruncated = errors.New("message is cut off")
	// ErrTrailing reports bytes after the message.
	ErrTrailing = errors.New("bytes after the message")
	// ErrMalformed reports what is no message, or an argument that is none.
	ErrMalformed = errors.New("not a message")
	// ErrUnsupported reports a version, suite or content type that is not
	// written, or not read without an option.
	ErrUnsupported = errors.New("not supported")
	// ErrLimit reports more than a limit of [Options] or [CachePolicy].
	ErrLimit = errors.New("limit exceeded")
	// ErrOverlap reports that the output would overwrite the input.
	ErrOverlap = errors.New("output overlaps input")
	// ErrAborted reports the use of a [Writer] after Abort.
	ErrAborted = errors.New("writer was aborted")
	// ErrClosed reports the use of something after Close.
	ErrClosed = errors.New("closed")
	// ErrSession reports a session that has expired or ended.
	ErrSession = errors.New("session has ended")
	// ErrFIPS reports that GODEBUG=fips140=only refuses the deterministic IVs
	// of the message format; fips140=on does not.
	ErrFIPS = errors.New("strict FIPS mode refuses the message format")
)

// What a key service says no with. Keyrings map their service's errors to
// these; the service's own error is wrapped beside them.
var (
	// ErrInvalidCiphertext reports an encrypted key that the service does not
	// open under this context: altered, or another context; it cannot say which.
	ErrInvalidCiphertext = errors.New("key service does not open this under this context")
	// ErrNotAuthorized reports that neither policy nor grant permits the call.
	ErrNotAuthorized = errors.New("not authorized to use the key")
	// ErrGrantPending reports a grant that may not have reached the service
	// yet; its token makes it usable at once.
	ErrGrantPending = errors.New("grant may not be in force yet")
	// ErrKeyDisabled reports a disabled key.
	ErrKeyDisabled = errors.New("key is disabled")
	// ErrKeyPendingDeletion reports a key that is to be deleted.
	ErrKeyPendingDeletion = errors.New("key is pending deletion")
	// ErrKeyNotFound reports a key that does not exist.
	ErrKeyNotFound = errors.New("key not found")
	// ErrThrottled reports too many calls; it may succeed later.
	ErrThrottled = errors.New("key service throttles")
	// ErrUnavailable reports a service that does not answer; it may succeed
	// later.
	ErrUnavailable = errors.New("key service unavailable")
)

// Error is the error of every operation here. Use [errors.Is] with the
// sentinels; the fields are for logs.
type Error struct {
	Op    string // what was tried, such as "open"; may be empty
	Kind  error  // a sentinel of this package; nil where Err alone says it
	KeyID string // the key service's name of the key, where one is known
	Frame int64  // the frame, from 1; 0 where it is none
	Err   error  // the cause; may be nil
}

// Error returns the text: no key bytes, plaintext or context values.
func (e *Error) Error() string {
	s := "kmsctx"
	if e.Op != "" {
		s += ": " + e.Op
	}
	if e.KeyID != "" {
		s += ": key " + strconv.Quote(e.KeyID)
	}
	if e.Frame > 0 {
		s += ": frame " + strconv.FormatInt(e.Frame, 10)
	}
	if e.Kind != nil {
		s += ": " + e.Kind.Error()
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	out := make([]error, 0, 2)
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// fail makes an error of a kind, with a detail that names no secret.
func fail(kind error, format string, args ...any) *Error {
	e := &Error{Kind: kind}
	if format != "" {
		e.Err = fmt.Errorf(format, args...)
	}
	return e
}

// at says during which operation an error came about.
func at(op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // only our own, outermost
		if e.Op == "" {
			c := *e
			c.Op = op
			return &c
		}
		return err
	}
	return &Error{Op: op, Err: err}
}
