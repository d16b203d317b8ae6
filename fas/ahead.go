package fas

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// Horizons keeps, beyond the firewall's process, up to when used evidence of a
// user may be dated. Clocks of callers may be ahead: what they signed is then
// dated after the next process starts, which without this could not tell it
// from new evidence.
type Horizons interface {
	// Horizons returns what was extended; what is in the past may be left out. It
	// returns when the second in which another process used the same horizons is
	// over: evidence is dated in whole seconds.
	Horizons(context.Context) (map[tenant.UserID]time.Time, error)
	// Extend returns nil when it is durable. It is called concurrently.
	Extend(context.Context, tenant.UserID, time.Time) error
}

// ahead is how far ahead the evidence of users is dated whose clocks are.
type ahead struct {
	writing keyed[tenant.UserID]

	mu     sync.RWMutex
	before map[tenant.UserID]time.Time // of the processes before this one
	now    map[tenant.UserID]time.Time
}

// aheadStep is how much further than asked a horizon is extended: one whose clock
// is ahead costs a durable write a second, and all callers of that user are
// refused for as much longer after a restart.
const aheadStep = time.Second

func (f *Firewall) openHorizons() (err error) {
	f.ahead.now = map[tenant.UserID]time.Time{}
	if f.c.Horizons == nil {
		f.started = f.started.Add(time.Second) // of this one another process may have used something
		return nil
	}
	if f.ahead.before, err = f.c.Horizons.Horizons(context.Background()); err != nil {
		return fmt.Errorf("%w: horizons: %w", ErrConfig, err)
	}
	f.started = time.Now().Truncate(time.Second)
	return nil
}

// forgotten reports whether evidence may have been used where this process does
// not know of it any more.
func (f *Firewall) forgotten(v *verified) bool {
	if f.replay.Durable() {
		return false
	}
	at := v.claim.Time
	if at.Before(f.started) {
		return v.once || v.now.Sub(at) > f.c.ReadReplay // younger reads are answered again anyway
	}
	f.ahead.mu.RLock()
	defer f.ahead.mu.RUnlock()
	return !at.After(f.ahead.before[v.caller.User()])
}

var errAhead = errors.New("fas: dated after now, and nobody keeps that it was used")

// extend keeps, for the next process, that evidence that is dated after now is
// about to be used.
func (f *Firewall) extend(ctx context.Context, v *verified) error {
	soon := v.now
	if !v.once {
		soon = soon.Add(max(0, f.c.ReadReplay)) // until then a read is answered again anyway
	}
	if f.replay.Durable() || !v.claim.Time.After(soon) {
		return nil
	}
	if f.c.Horizons == nil {
		return errAhead
	}
	user, a := v.caller.User(), &f.ahead
	defer a.writing.lock(user)()
	a.mu.RLock()
	enough := !v.claim.Time.After(a.now[user])
	a.mu.RUnlock()
	if enough {
		return nil
	}
	to := v.claim.Time.Add(aheadStep)
	if err := f.c.Horizons.Extend(ctx, user, to); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.now, func(_ tenant.UserID, at time.Time) bool { return at.Before(v.now) })
	a.now[user] = to
	return nil
}
