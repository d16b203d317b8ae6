package tenant

import (
	"fmt"
	"time"
)

// Method is how a caller proved who they are.
type Method string

// The methods that Cloister knows.
const (
	// MethodSigV4 is a request signed with AWS Signature Version 4.
	MethodSigV4 Method = "sigv4"
	// MethodOIDC is a token of the tenant's own identity provider, bound to the
	// request.
	MethodOIDC Method = "oidc"
	// MethodHTTPSignature is a request signed as RFC 9421 says.
	MethodHTTPSignature Method = "http-signature"
)

// Caller is an authenticated user of one tenant. The zero value is nobody, and
// every package refuses it. It is a plain value, safe to copy.
type Caller struct {
	tenant ID
	user   UserID
	method Method
	at     time.Time
}

// VerifiedCaller is called by verifiers of evidence, and by nothing else: it
// asserts that user of tenant was authenticated by method at the given time.
// It is the one door through which a Caller is made; search for its name.
// Errors wrap [ErrZeroID].
func VerifiedCaller(t ID, u UserID, m Method, at time.Time) (Caller, error) {
	if t.IsZero() || u.IsZero() {
		return Caller{}, fmt.Errorf("caller without tenant or user: %w", ErrZeroID)
	}
	if m == "" || at.IsZero() {
		return Caller{}, fmt.Errorf("caller without method or time: %w", ErrZeroID)
	}
	return Caller{tenant: t, user: u, method: m, at: at}, nil
}

// Tenant returns the caller's tenant.
func (c Caller) Tenant() ID { return c.tenant }

// User returns the caller's user ID.
func (c Caller) User() UserID { return c.user }

// Method returns how the caller was authenticated.
func (c Caller) Method() Method { return c.method }

// At returns when the caller signed.
func (c Caller) At() time.Time { return c.at }

// IsZero reports whether this is nobody.
func (c Caller) IsZero() bool { return c.tenant.IsZero() || c.user.IsZero() }

// String returns the machine IDs.
func (c Caller) String() string { return c.tenant.String() + "/" + c.user.String() }
