package fas

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// claimed makes evidence that differs from other evidence by its signature.
func claimed(t testing.TB, n int) Evidence {
	t.Helper()
	var sig [32]byte
	sig[0], sig[1], sig[2] = byte(n), byte(n>>8), byte(n>>16)
	r := httptest.NewRequest("POST", "/X", nil)
	r.Header.Set("X-Amz-Date", "20260301T120000Z")
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=AKIA/20260301/r/s/aws4_request, SignedHeaders=host;x-amz-date, Signature=%x", sig))
	ev, _, err := sigv4.Capture(r, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestReplayWindow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const window = 5 * time.Second
	for _, c := range []struct {
		name   string
		after  time.Duration
		window time.Duration
		want   bool
	}{
		{"at once, good once", 0, -1, false},
		{"without a window", 0, 0, false},
		{"within the window", window - 1, window, true},
		{"at its end", window, window, true},
		{"after the window", window + 1, window, false},
		{"a minute later", time.Minute, window, false},
		{"while evidence still verifies", 15 * time.Minute, window, false},
		{"with the other clock set back", -time.Minute, -1, false},
	} {
		s := newReplayStore(10)
		ev := claimed(t, 1)
		if !s.claim("own", ev, at, c.window) {
			t.Fatalf("%s: the first time is refused", c.name)
		}
		if got := s.claim("own", ev, at.Add(c.after), c.window); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		// A use within the window does not begin another.
		if s.claim("own", ev, at.Add(window+1), c.window) {
			t.Errorf("%s: accepted later", c.name)
		}
		if !s.claim("own", claimed(t, 2), at.Add(c.after), c.window) {
			t.Errorf("%s: other evidence is refused", c.name)
		}
	}
}

// The doors are apart: what was good for one was not used up for the other,
// and each counts for itself.
func TestReplayDoors(t *testing.T) {
	t.Parallel()
	s, at, ev := newReplayStore(10), time.Now(), claimed(t, 1)
	for _, door := range []string{"assume-own", "exchange"} {
		if !s.claim(door, ev, at, -1) {
			t.Errorf("%s: the first time", door)
		}
		if s.claim(door, ev, at, -1) {
			t.Errorf("%s: the second time", door)
		}
	}
}

// A full store refuses what is new and goes on refusing what is old; it has
// room again when nothing that it forgets verifies any more.
func TestReplayCapacity(t *testing.T) {
	t.Parallel()
	s := newReplayStore(3)
	at := s.swept
	for n := range 3 {
		if !s.claim("own", claimed(t, n), at, -1) {
			t.Fatal(n)
		}
	}
	for _, later := range []time.Duration{0, 2 * time.Minute, replayHorizon} {
		if s.claim("own", claimed(t, 9), at.Add(later), -1) {
			t.Errorf("a full store accepted, after %s", later)
		}
		for n := range 3 {
			if s.claim("own", claimed(t, n), at.Add(later), -1) {
				t.Errorf("%d is good again after %s", n, later)
			}
		}
	}
	if !s.claim("own", claimed(t, 9), at.Add(replayHorizon+1), -1) {
		t.Error("there is no room for ever")
	}
	if len(s.seen) != 1 {
		t.Errorf("%d kept", len(s.seen))
	}
}

// Nothing that still verifies is forgotten when the store is swept.
func TestReplaySweep(t *testing.T) {
	t.Parallel()
	s := newReplayStore(100)
	at, old := s.swept, claimed(t, 1)
	if !s.claim("own", old, at, -1) {
		t.Fatal("the first time")
	}
	for m := 1; m <= 30; m++ {
		now := at.Add(time.Duration(m) * time.Minute)
		if !s.claim("own", claimed(t, 100+m), now, -1) {
			t.Fatalf("new evidence after %d minutes", m)
		}
		if s.claim("own", old, now, -1) {
			t.Fatalf("good again after %d minutes", m)
		}
	}
	// A caller's clock may be ahead by what a verifier grants at most, and the
	// evidence be as old as it grants at most.
	if replayHorizon <= 2*15*time.Minute {
		t.Error("evidence outlives its entry")
	}
}

func TestReplayConcurrent(t *testing.T) {
	t.Parallel()
	s, at := newReplayStore(1000), time.Now()
	var evs []Evidence
	for n := range 50 {
		evs = append(evs, claimed(t, n))
	}
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 16 {
		wg.Go(func() {
			for _, ev := range evs {
				if s.claim("own", ev, at, -1) {
					good.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if good.Load() != 50 {
		t.Errorf("50 signatures were good %d times", good.Load())
	}
}
