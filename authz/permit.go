package authz

import (
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// Permit is an allow, for one caller, action and resource. Only
// [Authorizer.Authorize] makes one; the zero value permits nothing.
type Permit struct {
	caller   tenant.Caller
	action   Action
	resource Resource
	revision Revision
	expires  time.Time
}

// Err returns [ErrNoPermit] for the zero value and after expiry.
func (p Permit) Err() error {
	if p.caller.IsZero() || !time.Now().Before(p.expires) {
		return ErrNoPermit
	}
	return nil
}

// Caller returns who was permitted.
func (p Permit) Caller() tenant.Caller { return p.caller }

// Action returns what was permitted.
func (p Permit) Action() Action { return p.action }

// Resource returns on what.
func (p Permit) Resource() Resource { return p.resource }

// Revision names the policies that decided.
func (p Permit) Revision() Revision { return p.revision }

// Expires returns when the permit ends.
func (p Permit) Expires() time.Time { return p.expires }
