package fas

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

// event starts the audit record of a decision.
func event(ctx context.Context, kind string, req Request) audit.Event {
	e := audit.Event{Time: time.Now(), Kind: kind, Request: req.RequestID, Customization: req.Customization}
	if p := peerOf(ctx); p.name != Embedded {
		e.Detail = map[string]string{"workload": p.name}
	}
	return e
}

// detail adds to what an event says.
func detail(e *audit.Event, key, value string) {
	d := make(map[string]string, len(e.Detail)+1) // events share maps
	maps.Copy(d, e.Detail)
	d[key] = value
	e.Detail = d
}

// deny records a refusal. A refusal that cannot be recorded is a refusal.
func (f *Firewall) deny(ctx context.Context, e audit.Event, reason string, err error) error {
	e.Decision, e.Reason = audit.Deny, reason
	_ = f.c.Audit.Append(context.WithoutCancel(ctx), e)
	return err
}

// denyStranger records a refusal of whoever could not be verified. A flood of
// them is counted, not written down one by one.
func (f *Firewall) denyStranger(ctx context.Context, e audit.Event, reason string, err error) error {
	now := time.Now()
	if f.strangers.enter(tenant.ID{}, now) {
		f.strangers.leave(tenant.ID{})
		return f.deny(ctx, e, reason, err)
	}
	f.counted(ctx, f.strangers, e, reason)
	return err
}

// allow records a grant before it leaves.
func (f *Firewall) allow(ctx context.Context, e audit.Event, durable bool) error {
	e.Decision, e.Reason = audit.Allow, "allowed"
	record := f.c.Audit.Append
	if durable {
		record = f.c.Audit.Record
	}
	if err := record(ctx, e); err != nil {
		return fmt.Errorf("%w: %w", ErrAudit, err)
	}
	return nil
}

// undone is the reason of what was recorded as allowed and then did not happen.
func undone(err error) string {
	switch {
	case errors.Is(err, ErrConflict), errors.Is(err, ErrTicket):
		return "state-does-not-allow"
	case errors.Is(err, ErrDenied):
		return "not-authorized"
	}
	return "not-done"
}
