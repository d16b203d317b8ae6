package hierarchy

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/tenant"
)

var one, two = slot{id: "tn-1"}, slot{id: "tn-2"}

// opening opens to a key of 7s after a while, and counts.
type opening struct {
	mu    sync.Mutex
	calls int
	ended int // by their context
	took  time.Duration
}

func (o *opening) open(ctx context.Context) (*BranchKey, error) {
	o.mu.Lock()
	o.calls++
	o.mu.Unlock()
	select {
	case <-time.After(o.took):
	case <-ctx.Done():
		o.mu.Lock()
		o.ended++
		o.mu.Unlock()
		return nil, ctx.Err()
	}
	return &BranchKey{Version: newVersion(), Key: tenant.NewSecret(bytes.Repeat([]byte{7}, branchKeyLen))}, nil
}

func wiped(m *material) bool { return m.key == [branchKeyLen]byte{} }

func kept(t *testing.T, c *cache, s slot, o *opening) *material {
	t.Helper()
	m, err := c.get(t.Context(), s, o.open)
	if err != nil || wiped(m) {
		t.Fatalf("control: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	inside := c.entries[s].m
	if inside == m {
		t.Fatal("the cache's own memory was handed out")
	}
	return inside
}

// However an entry goes, its memory is overwritten.
func TestEntriesAreWiped(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, c *cache, o *opening){
		"its time is over, nobody asks": func(*testing.T, *cache, *opening) { time.Sleep(time.Minute); synctest.Wait() },
		"another takes its place":       func(t *testing.T, c *cache, o *opening) { kept(t, c, two, o) },
		"forgotten":                     func(_ *testing.T, c *cache, _ *opening) { c.mu.Lock(); c.forget("tn-1"); c.mu.Unlock() },
		"closed":                        func(_ *testing.T, c *cache, _ *opening) { c.close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, o := newCache(time.Minute, 1), &opening{}
				defer c.close()
				m := kept(t, c, one, o)
				end(t, c, o)
				if !wiped(m) || c.entries[one] != nil || c.recent.Len() != len(c.entries) {
					t.Error("it is still there")
				}
			})
		})
	}
}

// Who leaves gets its own context's error; the opening goes on while somebody
// waits, and ends with the last one.
func TestLeaving(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, o := newCache(time.Minute, 9), &opening{took: 10 * time.Second}
		defer c.close()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if m, err := c.get(short, one, o.open); !errors.Is(err, context.DeadlineExceeded) || m != nil {
			t.Errorf("alone: %v", err)
		}
		synctest.Wait()
		if o.ended != 1 || len(c.flights) != 0 || len(c.entries) != 0 {
			t.Errorf("%d ended, %d under way", o.ended, len(c.flights))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if m, err := c.get(t.Context(), one, o.open); err != nil || wiped(m) {
				t.Errorf("who stays: %v", err)
			}
		})
		synctest.Wait()
		short, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.get(short, one, o.open); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who leaves: %v", err)
		}
		wg.Wait()
		if o.calls != 2 || o.ended != 1 {
			t.Errorf("%d openings, %d ended", o.calls, o.ended)
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, o := newCache(time.Minute, 9), &opening{took: time.Hour}
		var wg sync.WaitGroup
		wg.Go(func() {
			if m, err := c.get(t.Context(), one, o.open); !errors.Is(err, kmsctx.ErrClosed) || m != nil {
				t.Errorf("while it closes: %v", err)
			}
		})
		synctest.Wait()
		c.close()
		wg.Wait()
		if o.ended != 1 || len(c.entries) != 0 {
			t.Errorf("%d ended", o.ended)
		}
		if _, err := c.get(t.Context(), one, o.open); !errors.Is(err, kmsctx.ErrClosed) || o.calls != 1 {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// Forgetting without end is an error, not a loop.
func TestForgottenAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, o := newCache(time.Minute, 9), &opening{took: time.Second}
		defer c.close()
		m, err := c.get(t.Context(), one, func(ctx context.Context) (*BranchKey, error) {
			k, err := o.open(ctx)
			c.mu.Lock()
			c.forget("tn-1")
			c.mu.Unlock()
			return k, err
		})
		if !errors.Is(err, kmsctx.ErrUnavailable) || m != nil || o.calls != maxTries || len(c.entries) != 0 {
			t.Errorf("%v after %d openings", err, o.calls)
		}
	})
}

// A failure is not kept: the next one asks anew.
func TestFailureIsNotKept(t *testing.T) {
	t.Parallel()
	c, o := newCache(time.Minute, 9), &opening{}
	defer c.close()
	for range 2 {
		_, err := c.get(t.Context(), one, func(context.Context) (*BranchKey, error) { o.calls++; return nil, kmsctx.ErrThrottled })
		if !errors.Is(err, kmsctx.ErrThrottled) {
			t.Error(err)
		}
	}
	if o.calls != 2 {
		t.Errorf("%d calls", o.calls)
	}
	kept(t, c, one, o)
}
