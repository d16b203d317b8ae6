package fas

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

// Revocation names what is no longer good: exactly one of the three.
type Revocation struct {
	// Session is one session. What it already handed out is out of reach: keys
	// live as long as the process that has them, credentials until they expire.
	Session tenant.SessionID `json:"session,omitzero"`
	// Evidence is the digest of one signed call, every session of it, and the
	// unfinished version that it began.
	Evidence [32]byte `json:"evidence,omitzero"`
	// Tenant is everything that a tenant signed before At: evidence, sessions
	// and tickets. What a clock that is ahead could have signed by then is refused
	// too: for as long after At as the scheme lets clocks be ahead, half a minute
	// where nobody chose otherwise, nothing new of the tenant is good.
	Tenant tenant.ID `json:"tenant,omitzero"`
	// At is when it was revoked; [Firewall.Revoke] sets it.
	At time.Time `json:"at"`
}

func (r Revocation) check() error {
	n := 0
	for _, there := range []bool{!r.Session.IsZero(), r.Evidence != [32]byte{}, !r.Tenant.IsZero()} {
		if there {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%w: a revocation of %d things", ErrConflict, n)
	}
	return nil
}

// revocationLife is longer than anything lives that can be revoked: an unfinished
// version is the longest.
const revocationLife = ticketLife + time.Hour

// Revocations keeps revocations beyond the firewall's process. What is older
// than 25 hours may be forgotten: nothing lives longer.
type Revocations interface {
	Revoked(context.Context) ([]Revocation, error)
	// Revoke returns nil when the revocation is durable.
	Revoke(context.Context, Revocation) error
}

// denylist is what is asked at every use.
type denylist struct {
	mu       sync.RWMutex
	sessions map[tenant.SessionID]time.Time
	evidence map[[32]byte]time.Time
	epochs   map[tenant.ID]time.Time
}

// revoke is add, as of now. What was admitted before it is made before it.
func (d *denylist) revoke(r *Revocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.At = time.Now()
	d.put(*r)
}

func (d *denylist) add(r Revocation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(r)
}

func (d *denylist) put(r Revocation) {
	if d.sessions == nil {
		d.sessions, d.evidence, d.epochs = map[tenant.SessionID]time.Time{}, map[[32]byte]time.Time{}, map[tenant.ID]time.Time{}
	}
	prune(d.sessions, r.At)
	prune(d.evidence, r.At)
	prune(d.epochs, r.At)
	switch {
	case !r.Session.IsZero():
		d.sessions[r.Session] = r.At
	case !r.Tenant.IsZero():
		if d.epochs[r.Tenant].Before(r.At) {
			d.epochs[r.Tenant] = r.At
		}
	default:
		d.evidence[r.Evidence] = r.At
	}
}

func prune[K comparable](m map[K]time.Time, now time.Time) {
	for k, at := range m {
		if now.Sub(at) > revocationLife {
			delete(m, k)
		}
	}
}

// revoked reports whether something of a tenant, made at the given time, is on
// the list by any of its names. Times of signatures have whole seconds: what
// was signed in the very second of the revocation is revoked.
func (d *denylist) revoked(s tenant.SessionID, evidence [32]byte, t tenant.ID, made time.Time) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, session := d.sessions[s]
	_, signed := d.evidence[evidence]
	epoch, gone := d.epochs[t]
	return session || signed || gone && !made.After(epoch)
}

// Revoke refuses what r names from now on, at every use, with [ErrRevoked]. It
// is recorded and durable when it returns nil. A revocation of nothing, or of
// several things, is [ErrConflict].
func (f *Firewall) Revoke(ctx context.Context, r Revocation) error {
	e := event(ctx, "firewall.revoke", Request{})
	if !peerOf(ctx).operator {
		return f.deny(ctx, e, "not-an-operator", ErrRole)
	}
	e.Session, e.Evidence, e.Tenant = r.Session, r.Evidence, r.Tenant
	if err := r.check(); err != nil {
		return f.deny(ctx, e, "malformed-revocation", err)
	}
	// It counts at once, whatever becomes of the record.
	f.denied.revoke(&r)
	if f.c.Revocations != nil {
		if err := f.c.Revocations.Revoke(ctx, r); err != nil {
			return f.deny(ctx, e, "not-kept", fmt.Errorf("%w: %w", ErrInternal, err))
		}
	}
	return f.allow(ctx, e, true)
}

// refuseRevoked records the use of what was revoked.
func (f *Firewall) refuseRevoked(ctx context.Context, e audit.Event, s tenant.SessionID, made time.Time) error {
	if !f.denied.revoked(s, e.Evidence, e.Tenant, made) {
		return nil
	}
	return f.deny(ctx, e, "revoked", ErrRevoked)
}
