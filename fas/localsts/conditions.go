package localsts

import (
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/fas/policy"
)

// The condition keys of every request, as policies compare them.
const (
	principalTenant = "aws:principaltag/tenant"
	currentTime     = "aws:currenttime"
)

// context is what a request says beside its action and resource.
func (c *Claims) context(now time.Time) map[string]string {
	return map[string]string{principalTenant: c.Tenant.String(), currentTime: now.UTC().Format(time.RFC3339)}
}

// CheckPolicy refuses with [ErrCondition], and by name, a condition key or
// variable that requests never have: a Deny by it would never deny. The layers
// of a session are checked when it is issued and at every [Verifier.Lookup];
// this is for who approves a profile and wants to know before. It accepts a nil
// document.
func CheckPolicy(d *policy.Document) error {
	for k := range d.Keys() {
		if k != principalTenant && k != currentTime {
			return fmt.Errorf("%w: %.80q", ErrCondition, k)
		}
	}
	return nil
}

// parseLayer reads one layer of a session that [Claims.Allows] can decide by.
func parseLayer(raw []byte) (*policy.Document, error) {
	d, err := policy.Parse(raw)
	if err != nil {
		return nil, ErrToken
	}
	if err := CheckPolicy(d); err != nil {
		return nil, err
	}
	return d, nil
}
