package kmsctx

import (
	"context"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

type wakeful struct{ id tenant.SessionID }

func (s wakeful) ID() tenant.SessionID { return s.id }
func (wakeful) Expires() time.Time     { return time.Now().Add(time.Hour) }
func (wakeful) Err() error             { return nil }

// A key whose time is over by either clock is not used: the monotonic one
// stands still while a machine sleeps, the other one can be set back.
func TestCacheAfterSleep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	raw, ec := rawEnvelope(t, nil)
	for name, c := range map[string]struct {
		change func(e *entry)
		calls  int64
	}{
		"awake":    {func(*entry) {}, 1},
		"slept":    {func(e *entry) { e.wall = time.Now().Round(0) }, 2},
		"set back": {func(e *entry) { e.deadline = time.Now() }, 2},
	} {
		cache, err := NewCache(CachePolicy{})
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close()
		v, err := cache.Keyring(Partition{tenant.NewID(), "key", wakeful{tenant.NewSessionID()}}, raw.ring)
		if err != nil {
			t.Fatal(err)
		}
		e, err := New(v, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if _, err := e.Seal(ctx, nil, nil, ec); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				cache.mu.Lock()
				for _, x := range cache.entries {
					c.change(x)
				}
				cache.mu.Unlock()
			}
		}
		if n := cache.Stats().Calls; n != c.calls {
			t.Errorf("%s: %d calls of the key service, not %d", name, n, c.calls)
		}
	}
}
