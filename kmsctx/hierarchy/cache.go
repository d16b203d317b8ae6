package hierarchy

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/kmsctx"
)

// slot names what is kept: a version of a branch key, or with the zero version
// its active one.
type slot struct {
	id      string
	version Version
}

// material is an opened branch key. Whoever receives one wipes it; nobody else
// holds it.
type material struct {
	version Version
	bound   map[string]string // never changed
	key     [branchKeyLen]byte
}

func (m *material) clone() *material { c := *m; return &c }

func (m *material) wipe() { clear(m.key[:]) }

// deadline is when what KMS allowed must be asked again. The monotonic clock
// stands still while a machine sleeps, the other one can be set back: whichever
// says that it is over is believed.
type deadline struct{ monotonic, wall time.Time }

func deadlineAfter(began time.Time, ttl time.Duration) deadline {
	t := began.Add(ttl)
	return deadline{t, t.Round(0)}
}

func (d deadline) over(now time.Time) bool {
	return !now.Before(d.monotonic) || !now.Round(0).Before(d.wall)
}

type entry struct {
	slot  slot
	m     *material
	until deadline
	timer *time.Timer
	place *list.Element
}

// flight is one opening that several may wait for.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	stale   bool // forgotten, or everybody left, while it ran
	m       *material
	until   deadline
	err     error
}

// cache keeps opened branch keys, the least recently used going first.
type cache struct {
	ttl     time.Duration
	max     int
	mu      sync.Mutex
	entries map[slot]*entry
	recent  list.List // of *entry, the most recently used first
	flights map[slot]*flight
	closed  bool
	running sync.WaitGroup
}

func newCache(ttl time.Duration, most int) *cache {
	return &cache{ttl: ttl, max: most, entries: map[slot]*entry{}, flights: map[slot]*flight{}}
}

const maxTries = 3

// get returns a private copy of the branch key in a slot, opening it at most
// once for all who ask at the same time.
func (c *cache) get(ctx context.Context, s slot, open func(context.Context) (*BranchKey, error)) (*material, error) {
	for range maxTries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, fault("branch key", kmsctx.ErrClosed, "the keyring")
		}
		if m := c.hit(s); m != nil {
			c.mu.Unlock()
			return m, nil
		}
		f := c.flights[s]
		if f == nil {
			f = c.start(ctx, s, open)
		}
		f.waiters++
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
		}
		if m, again, err := c.leave(ctx, f, s); !again {
			return m, err
		}
	}
	return nil, fault("branch key", kmsctx.ErrUnavailable, "it is being forgotten as often as it is opened")
}

// hit returns a copy of what is kept, if its time is not over.
func (c *cache) hit(s slot) *material {
	e := c.entries[s]
	if e == nil {
		return nil
	}
	if e.until.over(time.Now()) {
		c.drop(e)
		return nil
	}
	c.recent.MoveToFront(e.place)
	return e.m.clone()
}

func (c *cache) drop(e *entry) {
	e.timer.Stop()
	e.m.wipe()
	c.recent.Remove(e.place)
	delete(c.entries, e.slot)
}

// start opens on a goroutine of its own: who asked first may leave, and others
// wait for the same answer.
func (c *cache) start(ctx context.Context, s slot, open func(context.Context) (*BranchKey, error)) *flight {
	f := &flight{done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.flights[s] = f
	c.running.Go(func() {
		defer f.cancel()
		until := deadlineAfter(time.Now(), c.ttl) // KMS decides after that
		k, err := open(ctx)
		var m *material
		if err == nil {
			m = &material{version: k.Version, bound: k.Bound}
			err = k.Key.Use(func(b []byte) error { copy(m.key[:], b); return nil })
			k.Key.Destroy()
		}
		c.finish(f, s, m, until, err)
	})
	return f
}

func (c *cache) finish(f *flight, s slot, m *material, until deadline, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	if !f.stale {
		delete(c.flights, s)
	}
	if f.err = err; err != nil {
		if refused(err) {
			c.forget(s.id)
		}
		return
	}
	if f.waiters > 0 && !f.stale {
		f.m, f.until = m.clone(), until
	}
	if f.stale || until.over(time.Now()) {
		m.wipe()
		return
	}
	e := &entry{slot: s, m: m, until: until}
	e.place = c.recent.PushFront(e)
	c.entries[s] = e
	// Wiped on time although nobody may ask for it again.
	e.timer = time.AfterFunc(time.Until(until.monotonic), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.entries[s] == e {
			c.drop(e)
		}
	})
	for len(c.entries) > c.max {
		c.drop(c.recent.Back().Value.(*entry))
	}
}

// leave takes leave of a flight, with a copy of what it brought. What was
// forgotten meanwhile is asked for again; what took longer than it may be kept
// is used by nobody.
func (c *cache) leave(ctx context.Context, f *flight, s slot) (m *material, again bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiters--
	select {
	case <-f.done:
	default:
		if f.waiters == 0 && !f.stale {
			f.stale = true
			f.cancel()
			delete(c.flights, s)
		}
		return nil, false, ctx.Err()
	}
	if f.m != nil && f.waiters == 0 {
		defer f.m.wipe()
	}
	switch {
	case f.stale:
		return nil, true, nil
	case f.err != nil:
		return nil, false, f.err
	case f.until.over(time.Now()):
		return nil, false, fault("branch key", kmsctx.ErrUnavailable, "opening it took longer than its time to live")
	}
	return f.m.clone(), false, nil
}

// forget wipes all that is kept of a branch key, and lets nobody use what is
// under way.
func (c *cache) forget(id string) {
	for s, e := range c.entries {
		if s.id == id {
			c.drop(e)
		}
	}
	for s, f := range c.flights {
		if s.id == id {
			f.stale = true
			delete(c.flights, s)
		}
	}
}

func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	for _, e := range c.entries {
		c.drop(e)
	}
	for s, f := range c.flights {
		f.stale = true
		f.cancel()
		delete(c.flights, s)
	}
	c.mu.Unlock()
	c.running.Wait()
}
