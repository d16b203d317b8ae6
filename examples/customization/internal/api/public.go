package api

import (
	"errors"
	"net/http"

	"github.com/cloisterdev/cloister/fas"
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
		fas.ErrRole, fas.ErrLevel, fas.ErrRevoked, fas.ErrNoEvidence} {
		if errors.Is(err, refusal) {
			return ErrDenied
		}
	}
	for _, refusal := range signatureErrors {
		if errors.Is(err, refusal.err) {
			return ErrDenied
		}
	}
	if tooLarge(err) {
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
		{gpuinfer.ErrBusy, ""},
		{retrieval.ErrManifest, "snapshot-not-the-active-one"}, {retrieval.ErrDamaged, "snapshot-altered"}, {retrieval.ErrBinding, "snapshot-of-another"},
		{ErrUnknownOperation, "unknown-operation"}, {fas.ErrVerb, "not-a-verb-of-the-session"}, {fas.ErrExpired, "session-expired"},
	} {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	for _, r := range signatureErrors {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	if tooLarge(err) {
		return "body-too-large"
	}
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest {
		return "body-not-accepted"
	}
	return "internal"
}
