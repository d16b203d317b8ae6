package api

import (
	"errors"
	"net/http"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
)

// public turns an error of the rooms below into one of the few that callers
// see. What is not listed is an internal error: the reason stands in the audit
// log, never in an answer.
func public(err error) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, gpuinfer.ErrBusy), errors.Is(err, fas.ErrLimited):
		return ErrThrottled
	case errors.Is(err, fas.ErrConflict):
		return ErrConflict
	}
	// Whatever else the firewall or the capture of the signature refuses has
	// one answer.
	for _, refusal := range []error{fas.ErrDenied, fas.ErrOperation, fas.ErrReplayed, fas.ErrScope, fas.ErrVerb, fas.ErrExpired,
		fas.ErrRole, fas.ErrLevel, fas.ErrRevoked, fas.ErrNoEvidence,
		sigv4.ErrNoSignature, sigv4.ErrMalformed, sigv4.ErrNotSigned, sigv4.ErrAmbiguousPath, sigv4.ErrPayload, sigv4.ErrSignature,
		sigv4.ErrScope, sigv4.ErrSkew} {
		if errors.Is(err, refusal) {
			return ErrDenied
		}
	}
	if errors.Is(err, sigv4.ErrTooLarge) {
		return Invalid("The request body is too large.")
	}
	return ErrInternal
}

// reasonOf is the reason code of a refusal that the firewall has not recorded
// itself, or "".
func reasonOf(err error) string {
	for _, r := range []struct {
		err    error
		reason string
	}{
		{fas.ErrDenied, ""}, {fas.ErrOperation, ""}, {fas.ErrReplayed, ""}, {fas.ErrScope, ""}, {fas.ErrConflict, ""}, {fas.ErrAudit, ""},
		{fas.ErrLimited, ""}, {fas.ErrRole, ""}, {fas.ErrLevel, ""}, {fas.ErrRevoked, ""}, {fas.ErrNoEvidence, "evidence-malformed"},
		{gpuinfer.ErrBusy, ""}, {sigv4.ErrTooLarge, "body-too-large"}, {sigv4.ErrNoSignature, "unsigned"}, {sigv4.ErrPayload, "body-not-signed"},
		{sigv4.ErrNotSigned, "header-not-signed"}, {sigv4.ErrMalformed, "signature-malformed"}, {sigv4.ErrAmbiguousPath, "path-ambiguous"},
		{retrieval.ErrManifest, "snapshot-not-the-active-one"}, {retrieval.ErrDamaged, "snapshot-altered"}, {retrieval.ErrBinding, "snapshot-of-another"},
		{ErrUnknownOperation, "unknown-operation"}, {fas.ErrVerb, "not-a-verb-of-the-session"}, {fas.ErrExpired, "session-expired"},
	} {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest {
		return "body-not-accepted"
	}
	return "internal"
}
