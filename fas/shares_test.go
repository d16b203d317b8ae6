package fas

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

func TestShares(t *testing.T) {
	t.Parallel()
	s := shares{most: 3, of: map[tenant.ID]*share{}}
	a, b, now := tenant.NewID(), tenant.NewID(), time.Now()
	take := func(id tenant.ID, life time.Duration, at time.Time) bool { return s.take(id, at.Add(life), at) }
	for i := range 3 {
		if !take(a, time.Minute, now) {
			t.Fatalf("the %d. of three is refused", i+1)
		}
	}
	if take(a, time.Minute, now) {
		t.Error("four of three")
	}
	if !take(b, time.Minute, now) {
		t.Error("another tenant pays")
	}
	s.back(a, now.Add(time.Minute))
	if !take(a, time.Hour, now) || take(a, time.Minute, now) {
		t.Error("what was given back is one")
	}
	s.back(a, now.Add(24*time.Hour)) // of what was never taken
	if take(a, time.Minute, now) {
		t.Error("more was given back than was taken")
	}
	// What the store has forgotten does not count, and what it keeps does.
	later := now.Add(time.Minute + generation)
	for _, want := range []bool{true, true, false} {
		if take(a, time.Minute, later) != want {
			t.Error("two are forgotten, and one lives")
		}
	}
	// Nor does the table of tenants grow.
	for range 100 {
		take(tenant.NewID(), time.Minute, later)
	}
	take(b, time.Minute, later.Add(3*generation))
	if len(s.of) > 2 {
		t.Errorf("%d tenants are kept", len(s.of))
	}
}

// One tenant that uses up its share of the default store, at the rate that it
// may, is refused before others notice, and forgets in time.
func TestOneTenantDoesNotFillTheStore(t *testing.T) {
	if testing.Short() {
		t.Skip("a million claims")
	}
	t.Parallel()
	ctx, now := context.Background(), time.Now()
	store := &memory{max: 1 << 23}
	s := shares{most: Limits{}.withDefaults().Remembered, of: map[tenant.ID]*share{}}
	a := tenant.NewID()
	n := 0
	for ; s.take(a, now.Add(15*time.Minute), now); n++ {
		if _, fresh, err := store.Claim(ctx, sha256.Sum256(fmt.Append(nil, n)), now, now.Add(15*time.Minute)); err != nil || !fresh {
			t.Fatal(n, err)
		}
	}
	if n != 1<<20 {
		t.Errorf("%d are remembered", n)
	}
	if _, fresh, err := store.Claim(ctx, [32]byte{1}, now, now.Add(15*time.Minute)); err != nil || !fresh {
		t.Errorf("another tenant: %v", err)
	}
}

func TestSpent(t *testing.T) {
	t.Parallel()
	s := spent{uses: map[[32]byte]int{}}
	key := [32]byte{1}
	s.upTo(key, 1, 1)
	if len(s.uses) != 0 {
		t.Error("what is good once has no count")
	}
	s.upTo(key, 3, 10)
	s.upTo(key, 2, 10)
	if s.of(key) != 3 || s.of([32]byte{2}) != 0 {
		t.Errorf("%d, %d", s.of(key), s.of([32]byte{2}))
	}
	for i := range 3 * maxSpent {
		s.upTo(sha256.Sum256(fmt.Append(nil, i)), 1, 2)
	}
	if len(s.uses) > maxSpent {
		t.Errorf("%d are kept", len(s.uses))
	}
}

// Of however many sessions one tenant has, those of the same end go together,
// and each is found until its end.
func TestCatalogSessionsAreForgotten(t *testing.T) {
	t.Parallel()
	var c catalogSessions
	now := time.Now()
	keep := func(at time.Time, life time.Duration) tenant.SessionID {
		s := &Session{id: tenant.NewSessionID(), expires: at.Add(life)}
		c.keep(s, catalogSession{issued: at})
		return s.id
	}
	first := keep(now, time.Second)
	var all []tenant.SessionID
	for range 1000 {
		all = append(all, keep(now, 30*time.Second))
	}
	if _, ok := c.get(first); !ok || len(c.gens) != 2 {
		t.Errorf("%d generations, %v", len(c.gens), ok)
	}
	keep(now.Add(20*time.Second), time.Minute)
	if _, ok := c.get(first); ok || len(c.gens) != 2 {
		t.Errorf("%d generations, and one that is over is kept: %v", len(c.gens), ok)
	}
	for _, id := range all {
		if s, ok := c.get(id); !ok || !s.expires.Equal(now.Add(30*time.Second)) {
			t.Fatal("a live one is forgotten")
		}
	}
	keep(now.Add(time.Hour), time.Minute)
	if len(c.gens) != 1 || len(c.gens[0].kept) != 1 {
		t.Errorf("%d generations an hour later", len(c.gens))
	}
}

func BenchmarkCatalogSessions(b *testing.B) {
	for _, n := range []int{100, 60_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var c catalogSessions
			now := time.Now()
			for range n {
				c.keep(&Session{id: tenant.NewSessionID(), expires: now.Add(time.Minute)}, catalogSession{issued: now})
			}
			for b.Loop() {
				s := &Session{id: tenant.NewSessionID(), expires: now.Add(time.Minute)}
				c.keep(s, catalogSession{issued: now})
				if _, ok := c.get(s.id); !ok {
					b.Fatal("lost")
				}
			}
		})
	}
}
