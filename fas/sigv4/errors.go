package sigv4

import (
	"errors"
	"fmt"
)

// The sentinel errors of this package; see the package documentation. Those of
// the second group are special cases of one of the first, and errors.Is finds
// both.
var (
	ErrNoSignature   = errors.New("sigv4: the request is not signed")
	ErrMalformed     = errors.New("sigv4: malformed authentication")
	ErrNotSigned     = errors.New("sigv4: a header that must be signed is not")
	ErrAmbiguousPath = errors.New("sigv4: ambiguous path")
	ErrPayload       = errors.New("sigv4: payload not covered by the signature")
	ErrTooLarge      = errors.New("sigv4: body too large")
	ErrSignature     = errors.New("sigv4: signature does not match")
	ErrScope         = errors.New("sigv4: signed for another region or service")
	ErrSkew          = errors.New("sigv4: signed at the wrong time")
	ErrLevel         = errors.New("sigv4: evidence says less than is demanded")
	ErrConfig        = errors.New("sigv4: a required part is missing")

	ErrAlgorithm       = fmt.Errorf("%w with an accepted algorithm", ErrNoSignature)
	ErrDuplicated      = fmt.Errorf("%w: something occurs twice", ErrMalformed)
	ErrBothAuth        = fmt.Errorf("%w: authentication in headers and in the query", ErrMalformed)
	ErrUnsorted        = fmt.Errorf("%w: signed headers not lower-case, sorted and unique", ErrMalformed)
	ErrPresigned       = fmt.Errorf("%w: presigned requests are not accepted", ErrMalformed)
	ErrExpires         = fmt.Errorf("%w: X-Amz-Expires is not 1 to 604800", ErrMalformed)
	ErrAmbiguousQuery  = fmt.Errorf("%w: + or ; in the query is not escaped", ErrMalformed)
	ErrStreaming       = fmt.Errorf("%w: it is streamed", ErrPayload)
	ErrUnsignedPayload = fmt.Errorf("%w: it is unsigned", ErrPayload)
	ErrCutShort        = fmt.Errorf("%w: the body ended early", ErrPayload)
	ErrExpired         = fmt.Errorf("%w: the presigned request expired", ErrSkew)
)

// ParseError says which part of a request or of evidence was refused. It never
// repeats what stood there.
type ParseError struct {
	// Part is the name of a header, of a query parameter or of a piece of
	// them, such as "SignedHeaders"; or "request target", "body", "evidence".
	Part string
	// Err is one of the sentinel errors.
	Err error
}

// Error names the part.
func (e *ParseError) Error() string { return e.Err.Error() + " (" + e.Part + ")" }

// Unwrap returns the sentinel error.
func (e *ParseError) Unwrap() error { return e.Err }

func refuse(part string, err error) error { return &ParseError{part, err} }
