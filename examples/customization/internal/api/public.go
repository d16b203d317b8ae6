package api

import (
	"errors"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/gpuinfer"
)

// public turns an error of the rooms below into one of the few that callers
// see. What is not listed is an internal error: the reason stands in the audit
// log, never in an answer.
func public(err error) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, gpuinfer.ErrBusy):
		return ErrThrottled
	case errors.Is(err, fas.ErrConflict):
		return ErrConflict
	}
	// Whatever else the firewall or the capture of the signature refuses has
	// one answer.
	for _, refusal := range []error{fas.ErrDenied, fas.ErrOperation, fas.ErrReplayed, fas.ErrScope, fas.ErrVerb, fas.ErrExpired,
		sigv4.ErrNoSignature, sigv4.ErrMalformed, sigv4.ErrNotSigned, sigv4.ErrAmbiguousPath, sigv4.ErrPayload, sigv4.ErrSignature} {
		if errors.Is(err, refusal) {
			return ErrDenied
		}
	}
	if errors.Is(err, sigv4.ErrTooLarge) {
		return Invalid("The request body is too large.")
	}
	return ErrInternal
}
