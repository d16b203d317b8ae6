package fas

import (
	"math"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

func TestLimitsHaveDefaults(t *testing.T) {
	t.Parallel()
	for _, l := range []Limits{{}, {Rate: -1, Burst: -1, Concurrent: -1, Remembered: -1}, {Rate: math.NaN()}, {Rate: math.Inf(1)}} {
		if got := l.withDefaults(); got != (Limits{2000, 8000, 32, 1 << 20}) {
			t.Errorf("%+v: %+v", l, got)
		}
	}
	if got := (Limits{Rate: 0.1}).withDefaults(); got.Burst != 1 {
		t.Errorf("%+v", got)
	}
}

func TestLimiterRate(t *testing.T) {
	t.Parallel()
	m, at := newLimiter(Limits{Rate: 10, Burst: 3, Concurrent: 100}), time.Now()
	a, b := tenant.NewID(), tenant.NewID()
	take := func(id tenant.ID, n int, at time.Time) (got int) {
		for range n {
			if m.enter(id, at) {
				got++
				m.leave(id)
			}
		}
		return got
	}
	for _, c := range []struct {
		name  string
		id    tenant.ID
		after time.Duration
		want  int
	}{
		{"a burst", a, 0, 3}, {"no more at once", a, 0, 0}, {"another tenant has its own", b, 0, 3},
		{"one after a tenth", a, 100 * time.Millisecond, 1}, {"a burst at most after a pause", a, time.Hour, 3}, {"a clock set back gives nothing", a, 0, 0},
	} {
		if got := take(c.id, 10, at.Add(c.after)); got != c.want {
			t.Errorf("%s: %d calls", c.name, got)
		}
	}
}

func TestLimiterConcurrent(t *testing.T) {
	t.Parallel()
	m, at := newLimiter(Limits{Rate: 1e6, Burst: 1e6, Concurrent: 2}), time.Now()
	a, b := tenant.NewID(), tenant.NewID()
	first, second, third := m.enter(a, at), m.enter(a, at), m.enter(a, at)
	if !first || !second || third {
		t.Fatal("two at a time")
	}
	if !m.enter(b, at) {
		t.Error("another tenant is refused")
	}
	m.leave(a)
	if !m.enter(a, at) || m.enter(a, at) {
		t.Error("an end makes room for one")
	}
}

// The table holds those about whom something is to know.
func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	m, at := newLimiter(Limits{Rate: 10, Burst: 10, Concurrent: 2}), time.Now()
	busy := tenant.NewID()
	m.enter(busy, at)
	for range 1000 {
		id := tenant.NewID()
		m.enter(id, at)
		m.leave(id)
	}
	m.enter(tenant.NewID(), at.Add(2*time.Minute))
	if len(m.tenants) != 2 || m.tenants[busy] == nil {
		t.Errorf("%d tenants kept", len(m.tenants))
	}
}

// Refusals are recorded at once, and then once a second with their number.
func TestLimiterCounts(t *testing.T) {
	t.Parallel()
	m, at, a := newLimiter(Limits{}), time.Now(), tenant.NewID()
	if n, later := m.refusal(a, at); n != 1 || !later {
		t.Fatalf("the first: %d, %v", n, later)
	}
	for range 41 {
		if n, later := m.refusal(a, at); n != 0 || later {
			t.Fatalf("one of many: %d, %v", n, later)
		}
	}
	if n := m.rest(a); n != 41 {
		t.Errorf("%d are the rest", n)
	}
	if n, later := m.refusal(a, at); n != 1 || !later {
		t.Errorf("the next second: %d, %v", n, later)
	}
}
