package oidc

import "errors"

// The sentinel errors of this package; see the package documentation.
var (
	ErrNoToken       = errors.New("oidc: no token with a proof")
	ErrMalformed     = errors.New("oidc: malformed evidence")
	ErrProof         = errors.New("oidc: not a proof of this token")
	ErrRequest       = errors.New("oidc: a proof of another request")
	ErrPayload       = errors.New("oidc: a proof of another body")
	ErrAmbiguousPath = errors.New("oidc: ambiguous path")
	ErrTooLarge      = errors.New("oidc: too large")
	ErrSkew          = errors.New("oidc: signed at the wrong time")
	ErrIssuer        = errors.New("oidc: for nobody here")
	ErrToken         = errors.New("oidc: not a token of its issuer")
	ErrKeys          = errors.New("oidc: the issuer's keys cannot be had")
	ErrBinding       = errors.New("oidc: the proof's key is not the caller's")
	ErrUser          = errors.New("oidc: the subject is no user")
	ErrConfig        = errors.New("oidc: a required part is missing")
)
