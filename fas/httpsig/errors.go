package httpsig

import "errors"

// The sentinel errors of this package; see the package documentation.
var (
	ErrNoSignature   = errors.New("httpsig: the request is not signed")
	ErrMalformed     = errors.New("httpsig: malformed authentication")
	ErrSignatures    = errors.New("httpsig: more than one signature")
	ErrComponent     = errors.New("httpsig: a component that cannot be covered")
	ErrNotSigned     = errors.New("httpsig: something that must be signed is not")
	ErrParameter     = errors.New("httpsig: signature parameters other than the accepted ones")
	ErrAlgorithm     = errors.New("httpsig: algorithm other than ed25519")
	ErrAmbiguousPath = errors.New("httpsig: ambiguous path")
	ErrPayload       = errors.New("httpsig: payload not covered by the signature")
	ErrTooLarge      = errors.New("httpsig: too large")
	ErrSignature     = errors.New("httpsig: signature does not match")
	ErrAuthority     = errors.New("httpsig: signed for another host")
	ErrSkew          = errors.New("httpsig: signed at the wrong time")
	ErrConfig        = errors.New("httpsig: a required part is missing")
)
