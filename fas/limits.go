package fas

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

// Limits bound what one tenant may take of the firewall. What is beyond them
// is refused at once, with [ErrLimited], and does not wait. Zero values mean
// the defaults; there is no way to have none.
type Limits struct {
	// Rate is how many calls a second a tenant may make over time: 2,000, a tenth
	// of what two processors answer. Burst is how many at once after a pause: four
	// seconds' worth.
	Rate  float64
	Burst int
	// Concurrent is how many calls of a tenant may be under way: 32.
	Concurrent int
	// Remembered is how many signatures of a tenant the replay store keeps at a
	// time: as many as Rate makes in eight minutes, longer than SigV4 signatures
	// live, and not less than 1,048,576, an eighth of what the store of one process
	// keeps. Evidence of a longer life needs more, or goes slower than Rate.
	Remembered int
}

func (l Limits) withDefaults() Limits {
	if !(l.Rate > 0) || math.IsInf(l.Rate, 0) {
		l.Rate = 2000
	}
	if l.Burst <= 0 {
		l.Burst = max(1, int(min(4*l.Rate, 1<<30)))
	}
	if l.Concurrent <= 0 {
		l.Concurrent = 32
	}
	if l.Remembered <= 0 {
		l.Remembered = max(1<<20, int(min(480*l.Rate, 1<<30)))
	}
	return l
}

// limiter keeps count of each tenant. The zero tenant stands for whoever could
// not be verified.
type limiter struct {
	l Limits

	mu      sync.Mutex
	tenants map[tenant.ID]*allowance
	swept   time.Time
}

type allowance struct {
	tokens  float64
	at      time.Time
	running int
	refused int  // since the last record of refusals
	pending bool // a record is due
}

func newLimiter(l Limits) *limiter {
	return &limiter{l: l.withDefaults(), tenants: map[tenant.ID]*allowance{}}
}

func (m *limiter) of(t tenant.ID, now time.Time) *allowance {
	a := m.tenants[t]
	if a == nil {
		m.sweep(now)
		a = &allowance{tokens: float64(m.l.Burst), at: now}
		m.tenants[t] = a
	}
	return a
}

// enter takes one call of a tenant into account, until leave.
func (m *limiter) enter(t tenant.ID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.of(t, now)
	if d := now.Sub(a.at).Seconds(); d > 0 {
		a.tokens, a.at = min(float64(m.l.Burst), a.tokens+d*m.l.Rate), now
	}
	if a.tokens < 1 || a.running >= m.l.Concurrent {
		return false
	}
	a.tokens--
	a.running++
	return true
}

func (m *limiter) leave(t tenant.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tenants[t].running--
}

// sweep forgets tenants of whom nothing is left to know, so that the table
// does not grow with time.
func (m *limiter) sweep(now time.Time) {
	if now.Sub(m.swept) < time.Minute {
		return
	}
	m.swept = now
	for t, a := range m.tenants {
		full := a.tokens+now.Sub(a.at).Seconds()*m.l.Rate >= float64(m.l.Burst)
		if full && a.running == 0 && !a.pending {
			delete(m.tenants, t)
		}
	}
}

// refusal counts a refusal. It returns how many there are to record now, and
// whether the caller has to come back in a second for those that follow.
func (m *limiter) refusal(t tenant.ID, now time.Time) (record int, later bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.of(t, now)
	a.refused++
	if a.pending {
		return 0, false
	}
	a.pending = true
	record, a.refused = a.refused, 0
	return record, true
}

// rest ends the second that refusal began.
func (m *limiter) rest(t tenant.ID) (record int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.tenants[t]
	record, a.refused, a.pending = a.refused, 0, false
	return record
}

// enter takes a verified call into its tenant's account.
func (f *Firewall) enter(ctx context.Context, e audit.Event) error {
	if f.limits.enter(e.Tenant, time.Now()) {
		return nil
	}
	f.counted(ctx, f.limits, e, "over-the-limit")
	return ErrLimited
}

// counted records a refusal of many: at most one record a tenant and second,
// with a count, so that a flood of refusals is none in the log. The first has a
// record of its own; those of the second after it may be anybody's of the tenant
// and for any reason, and their record says how many there were and nothing else.
func (f *Firewall) counted(ctx context.Context, m *limiter, e audit.Event, reason string) {
	ctx = context.WithoutCancel(ctx)
	n, later := m.refusal(e.Tenant, time.Now())
	if n > 0 {
		detail(&e, "count", strconv.Itoa(n))
		_ = f.deny(ctx, e, reason, nil)
	}
	if !later {
		return
	}
	time.AfterFunc(time.Second, func() {
		if n := m.rest(e.Tenant); n > 0 {
			rest := audit.Event{Time: time.Now(), Kind: "firewall.refusals", Tenant: e.Tenant, Detail: map[string]string{"count": strconv.Itoa(n)}}
			_ = f.deny(ctx, rest, "not-recorded-one-by-one", nil)
		}
	})
}
