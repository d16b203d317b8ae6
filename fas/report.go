package fas

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

// Refusal is what a front end refused by itself, before or after it asked the
// firewall: a body that it could not read, a page that was altered.
type Refusal struct {
	Request       tenant.RequestID
	Customization tenant.CustomizationID // zero if it is not known
	// Reason is a code, [a-z0-9.-]{1,64}. What is none is recorded as
	// "malformed-reason".
	Reason string
}

var reasonCode = regexp.MustCompile(`^[a-z0-9.-]{1,64}$`)

// Report records a front end's refusal. The record's kind, frontend.refused,
// says whose word it is; it names no tenant, since nobody verified one. A flood
// of them is counted, like that of strangers. An error wraps [ErrAudit].
func (f *Firewall) Report(ctx context.Context, r Refusal) error {
	e := event(ctx, "frontend.refused", Request{RequestID: r.Request, Customization: r.Customization})
	if !reasonCode.MatchString(r.Reason) {
		r.Reason = "malformed-reason"
	}
	if !f.strangers.enter(tenant.ID{}, time.Now()) {
		f.counted(ctx, f.strangers, e, r.Reason)
		return nil
	}
	f.strangers.leave(tenant.ID{})
	e.Decision, e.Reason = audit.Deny, r.Reason
	if err := f.c.Audit.Append(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", ErrAudit, err)
	}
	return nil
}

// Report sends a front end's refusal to the firewall's audit log; see
// [Firewall.Report].
func (c *Client) Report(ctx context.Context, r Refusal) error {
	_, err := c.do(ctx, &call{Op: "report", Request: Request{RequestID: r.Request}, Target: idText(r.Customization), Reason: r.Reason})
	return err
}
