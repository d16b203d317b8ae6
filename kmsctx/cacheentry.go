package kmsctx

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"
)

type entryID [sha256.Size]byte

// entry is a kept data key. All of it is guarded by the cache's mutex.
type entry struct {
	id             entryID
	owner          *cachedRing
	plain          []byte
	encrypted      []EncryptedDataKey // nil for an opened key; never changed
	deadline, soft time.Time          // not used after; fetched anew after
	wall           time.Time          // the deadline without the monotonic clock
	messages       int64
	bytes          int64
	prev, next     *entry
}

// request asks for a data key: to be made, or, with keys, to be opened.
type request struct {
	id   entryID
	ec   Context
	keys []EncryptedDataKey
	size int64
}

// call is one call of the key service that others may wait for.
type call struct {
	owner   *cachedRing
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	ahead   bool // nobody may be waiting, and it runs on
	stale   bool // invalidated while it ran
	key     *DataKey
	err     error
}

const maxTries = 3

// use returns a private copy of the data key that r asks for.
func (c *Cache) use(ctx context.Context, v *cachedRing, r request) (*DataKey, error) {
	for tries := 0; ; tries++ {
		if err := v.check(); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, fail(ErrClosed, "the cache")
		}
		if dk := c.hit(ctx, v, r); dk != nil {
			if tries == 0 {
				c.stats.Hits++
			}
			c.mu.Unlock()
			return dk, nil
		}
		if tries == 0 {
			c.stats.Misses++
		}
		k, running := c.calls[r.id]
		if !running {
			k = c.start(context.WithoutCancel(ctx), v, r, false)
		}
		k.waiters++
		c.mu.Unlock()
		select {
		case <-k.done:
		case <-ctx.Done():
		}
		dk, stale, err := c.answer(k, r, !running)
		if stale && tries >= maxTries && ctx.Err() == nil {
			err = fail(ErrUnavailable, "the key is being invalidated")
		}
		if err == nil && dk != nil {
			err = v.check() // it may have ended meanwhile
		}
		if err != nil {
			dk.Destroy()
			return nil, err
		}
		if dk != nil {
			return dk, nil
		}
	}
}

// answer takes leave of a call. Who began it gets the key even where that
// cannot be kept; the others look for the entry, which counts their use.
func (c *Cache) answer(k *call, r request, began bool) (dk *DataKey, stale bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.waiters--
	select {
	case <-k.done:
	default: // this caller's context is over
		if k.waiters == 0 && !k.ahead {
			k.stale = true
			k.cancel()
			if c.calls[r.id] == k {
				delete(c.calls, r.id)
			}
		}
		return nil, false, nil
	}
	if !k.stale && k.err == nil && began {
		dk = copyKey(k.key.Plaintext, k.key.Encrypted)
	}
	if k.waiters == 0 {
		k.key.Destroy()
	}
	if k.stale {
		return nil, true, nil
	}
	return dk, false, k.err
}

// hit returns a copy of a kept key, and has it fetched anew where it is near
// its end. An entry at its end is dropped.
func (c *Cache) hit(ctx context.Context, v *cachedRing, r request) *DataKey {
	e := c.entries[r.id]
	if e == nil {
		return nil
	}
	if !c.charge(e, r) {
		c.drop(e)
		return nil
	}
	e.prev.next, e.next.prev = e.next, e.prev
	c.front(e)
	near := r.keys == nil && (e.messages > c.p.MaxMessages/10*8 && c.p.MaxMessages >= 10 || e.bytes > c.p.MaxBytes/10*8)
	if now := time.Now(); near || now.After(e.soft) {
		if _, running := c.calls[r.id]; !running {
			c.start(context.WithoutCancel(ctx), v, r, true)
		}
		// Should that fail for a passing reason, half of what is left is time
		// enough for another attempt.
		e.soft = now.Add(e.deadline.Sub(now) / 2)
	}
	return copyKey(e.plain, e.encrypted)
}

// over asks both clocks: the monotonic one stands still while a machine sleeps,
// the other one can be set back.
func over(deadline, wall time.Time) bool {
	now := time.Now()
	return !now.Before(deadline) || !now.Round(0).Before(wall)
}

// charge counts a use, or says that there is none left.
func (c *Cache) charge(e *entry, r request) bool {
	if over(e.deadline, e.wall) {
		return false
	}
	if r.keys == nil {
		if e.messages >= c.p.MaxMessages || e.bytes > c.p.MaxBytes-r.size {
			return false
		}
		e.messages++
		e.bytes += r.size
	}
	return true
}

// copyKey makes a key whose plaintext nobody else holds.
func copyKey(plain []byte, encrypted []EncryptedDataKey) *DataKey {
	k := new(struct {
		DataKey
		b [DataKeyLen]byte
	})
	copy(k.b[:], plain)
	k.Plaintext, k.Encrypted = k.b[:], encrypted
	return &k.DataKey
}

func (c *Cache) front(e *entry) {
	e.prev, e.next = &c.recent, c.recent.next
	e.prev.next, e.next.prev = e, e
}

func (c *Cache) drop(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	delete(c.entries, e.id)
	clear(e.plain)
}

// start calls the key service on a goroutine of its own: the one who asked
// first may leave, and others wait for the same answer.
func (c *Cache) start(ctx context.Context, v *cachedRing, r request, ahead bool) *call {
	k := &call{owner: v, done: make(chan struct{}), ahead: ahead}
	if ahead {
		ctx, k.cancel = context.WithTimeout(ctx, refreshTimeout)
	} else {
		ctx, k.cancel = context.WithCancel(ctx)
	}
	keys := make([]EncryptedDataKey, len(r.keys))
	for i := range keys {
		keys[i] = r.keys[i].clone() // the message's memory may be gone by then
	}
	c.calls[r.id] = k
	c.stats.Calls++
	c.running.Go(func() {
		defer k.cancel()
		began := time.Now()
		var dk *DataKey
		err := v.check()
		if err == nil && r.keys == nil {
			dk, err = generate(ctx, v.ring, r.ec, r.size)
		} else if err == nil {
			dk, err = v.ring.DecryptDataKey(ctx, r.ec, keys)
			if err == nil && (dk == nil || len(dk.Plaintext) != DataKeyLen) {
				err = fail(ErrNoMatchingKey, "the keyring returned none")
			}
		}
		if ahead && errors.Is(err, context.DeadlineExceeded) {
			err = fail(ErrUnavailable, "%w", err) // no caller's deadline
		}
		c.finish(k, v, r, dk, err, began)
	})
	return k
}

// finish keeps the answer, unless it was invalidated on the way.
func (c *Cache) finish(k *call, v *cachedRing, r request, dk *DataKey, err error, began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(k.done)
	if err != nil {
		dk.Destroy()
		k.err = err
	}
	if k.stale {
		dk.Destroy()
		return
	}
	delete(c.calls, r.id)
	old := c.entries[r.id]
	if err != nil {
		if old != nil && !passing(err) {
			c.drop(old) // the key service has said no
		}
		return
	}
	if k.waiters > 0 {
		k.key = copyKey(dk.Plaintext, dk.Encrypted)
	}
	if old != nil {
		c.drop(old)
	}
	// The age counts from before the call: the service decided after that.
	deadline := began.Add(c.p.MaxAge)
	if x := v.p.Session.Expires(); x.Before(deadline) {
		deadline = x
	}
	age := deadline.Sub(began)
	e := &entry{id: r.id, owner: v, plain: dk.Plaintext, deadline: deadline, wall: deadline.Round(0), soft: began.Add(age*7/10 + jitter(age/5))}
	if r.keys == nil {
		e.encrypted = dk.Encrypted
		if !k.ahead {
			e.messages, e.bytes = 1, r.size // of the one who asked
		}
	}
	c.entries[r.id] = e
	c.front(e)
	for len(c.entries) > c.p.MaxEntries {
		c.drop(c.recent.prev)
	}
	c.sweepAt(deadline)
}

// passing tells errors that may not come again: a kept key may live on.
func passing(err error) bool {
	return errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnavailable) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// jitter spreads what would otherwise happen at once in many processes.
func jitter(most time.Duration) time.Duration {
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails
	return most * time.Duration(b[0]) / 256
}

// sweepAt has expired entries wiped although nobody asks for them.
func (c *Cache) sweepAt(t time.Time) {
	if c.sweeper != nil && !t.Before(c.sweepTime) {
		return
	}
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	c.sweepTime, c.sweeper = t, time.AfterFunc(time.Until(t), c.sweep)
}

func (c *Cache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweeper = nil
	if c.closed {
		return
	}
	var next time.Time
	for _, e := range c.entries {
		if over(e.deadline, e.wall) {
			c.drop(e)
		} else if next.IsZero() || e.deadline.Before(next) {
			next = e.deadline
		}
	}
	if !next.IsZero() {
		c.sweepAt(next)
	}
}
