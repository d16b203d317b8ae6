package fas

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

func replayKey(n int) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func newStore(t testing.TB, max int) *memory {
	t.Helper()
	s, err := MemoryReplay(max)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*memory)
}

// fresh claims a key for as long as SigV4 evidence lives.
func fresh(t testing.TB, s ReplayStore, n int, at time.Time) bool {
	t.Helper()
	_, fresh, err := s.Claim(context.Background(), replayKey(n), at, at.Add(5*time.Minute))
	if err != nil && !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	return fresh
}

// The store says when a key was claimed, to the millisecond, for as long as it
// was asked to.
func TestReplayFirst(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 7e6, time.UTC)
	until := at.Add(5 * time.Minute)
	for name, after := range map[string]time.Duration{"at once": 0, "a moment later": time.Millisecond, "a minute later": time.Minute,
		"at the end": 5 * time.Minute, "with the other clock set back": -time.Minute} {
		for _, again := range []time.Time{until, until.Add(10 * time.Minute), at} {
			s := newStore(t, 10)
			if _, ok, err := s.Claim(context.Background(), replayKey(1), at, until); !ok || err != nil {
				t.Fatal(name, ok, err)
			}
			first, ok, err := s.Claim(context.Background(), replayKey(1), at.Add(after), again)
			if ok || err != nil || !first.Equal(at) {
				t.Errorf("%s: %v, %v, %v", name, first, ok, err)
			}
			if !fresh(t, s, 2, at.Add(after)) {
				t.Errorf("%s: another key is not fresh", name)
			}
		}
	}
}

// The doors are apart, and so are the schemes and the uses.
func TestReplayNames(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]bool{}
	for _, once := range [][32]byte{{1}, {2}} {
		for _, door := range []string{"assume-own", "exchange"} {
			for _, scheme := range []tenant.Method{tenant.MethodSigV4, tenant.MethodOIDC} {
				for nth := range 3 {
					seen[onceKey(door, scheme, once, nth)] = true
				}
			}
		}
	}
	if want := 2 * 2 * 2 * 3; len(seen) != want {
		t.Errorf("%d names of %d", len(seen), want)
	}
}

// A full store refuses what is new and goes on refusing what is old; it has
// room again when nothing that it forgets verifies any more.
func TestReplayCapacity(t *testing.T) {
	t.Parallel()
	s, at := newStore(t, 3), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for n := range 3 {
		if !fresh(t, s, n, at) {
			t.Fatal(n)
		}
	}
	for _, later := range []time.Duration{0, 2 * time.Minute, 5 * time.Minute} {
		if _, ok, err := s.Claim(context.Background(), replayKey(9), at.Add(later), at.Add(later+time.Minute)); ok || !errors.Is(err, errFull) {
			t.Errorf("a full store, after %s: %v, %v", later, ok, err)
		}
		for n := range 3 {
			if fresh(t, s, n, at.Add(later)) {
				t.Errorf("%d is good again after %s", n, later)
			}
		}
	}
	if !fresh(t, s, 9, at.Add(5*time.Minute+generation)) {
		t.Error("there is no room for ever")
	}
	if got := s.kept.Load(); got != 1 {
		t.Errorf("%d kept", got)
	}
}

// Nothing that still verifies is forgotten while others come and go.
func TestReplayGenerations(t *testing.T) {
	t.Parallel()
	s, at := newStore(t, 10_000), time.Date(2026, 3, 1, 12, 0, 59, 0, time.UTC)
	end := at.Add(MaxEvidenceLife)
	if _, ok, err := s.Claim(context.Background(), replayKey(0), at, end); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for m := 1; m <= 60; m++ {
		now := at.Add(time.Duration(m) * time.Minute)
		if !fresh(t, s, m, now) {
			t.Fatalf("new evidence after %d minutes", m)
		}
		if _, ok, err := s.Claim(context.Background(), replayKey(0), now, end); ok || err != nil {
			t.Fatalf("good again after %d minutes: %v", m, err)
		}
	}
	if got := s.kept.Load(); got > 61 {
		t.Errorf("%d kept", got)
	}
	if _, ok, err := s.Claim(context.Background(), replayKey(1e6), at, at.Add(3*MaxEvidenceLife)); ok || err == nil {
		t.Error("an entry for longer than its time can say")
	}
	if s, err := MemoryReplay(0); !errors.Is(err, ErrConfig) || s != nil {
		t.Errorf("a store for nothing: %v", err)
	}
}

func TestReplayConcurrent(t *testing.T) {
	t.Parallel()
	s, at := newStore(t, 1000), time.Now()
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 16 {
		wg.Go(func() {
			for n := range 50 {
				if fresh(t, s, n, at) {
					good.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if good.Load() != 50 {
		t.Errorf("50 keys were fresh %d times", good.Load())
	}
}
