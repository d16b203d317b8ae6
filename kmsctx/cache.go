package kmsctx

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// Session is what a cached key must not outlive: a caller's credential. A
// fas.Session is one.
type Session interface {
	ID() tenant.SessionID
	Expires() time.Time
	Err() error // why it can no longer be used, or nil
}

// CachePolicy bounds what a [Cache] keeps. The zero value is the default.
type CachePolicy struct {
	// MaxAge is how long a data key is used after the key service made or
	// opened it, and so how long revoking takes to be seen where nobody calls
	// [Cache.Invalidate]. Zero means one minute; at most one hour. A key is
	// never kept beyond its session.
	MaxAge time.Duration
	// MaxMessages is how many messages are sealed under one data key. Zero
	// means 1,000; at most 2^32.
	MaxMessages int64
	// MaxBytes is how much plaintext is sealed under one data key. Zero means
	// 1 GiB. A stream counts as [Options].MaxStream; without that bound it
	// takes a data key of its own.
	MaxBytes int64
	// MaxEntries is how many data keys are kept, the least recently used going
	// first. Zero means 1,000.
	MaxEntries int
}

const (
	maxCacheAge    = time.Hour
	refreshTimeout = 10 * time.Second
)

// CacheStats counts since the cache was made.
type CacheStats struct {
	Hits    int64 // uses of a kept key
	Misses  int64 // uses that waited for the key service
	Calls   int64 // calls of the key service, those ahead of need included
	Entries int   // keys kept now
}

// Cache keeps plaintext data keys for a short time, so that not every message
// costs a call of the key service. One serves a whole process: entries of two
// tenants, keys or sessions never meet. It is safe for concurrent use.
//
// While a key is kept, the key service cannot refuse it: that is the price,
// and MaxAge bounds it. Whoever revokes a grant or disables a key calls
// [Cache.Invalidate] and does not wait.
type Cache struct {
	p         CachePolicy
	mu        sync.Mutex
	entries   map[entryID]*entry
	calls     map[entryID]*call
	recent    entry // ring of entries, the most recently used first
	stats     CacheStats
	sweeper   *time.Timer
	sweepTime time.Time
	closed    bool
	running   sync.WaitGroup
}

// NewCache makes a cache. It refuses a policy out of range with [ErrLimit], and
// says which field is.
func NewCache(p CachePolicy) (*Cache, error) {
	if p.MaxAge == 0 {
		p.MaxAge = time.Minute
	}
	if p.MaxMessages == 0 {
		p.MaxMessages = 1000
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = 1 << 30
	}
	if p.MaxEntries == 0 {
		p.MaxEntries = 1000
	}
	for _, d := range []struct {
		name string
		in   bool
	}{
		{"MaxAge", p.MaxAge >= 0 && p.MaxAge <= maxCacheAge},
		{"MaxMessages", p.MaxMessages >= 1 && p.MaxMessages <= 1<<32},
		{"MaxBytes", p.MaxBytes >= 1},
		{"MaxEntries", p.MaxEntries >= 1},
	} {
		if !d.in {
			return nil, at("new cache", fail(ErrLimit, "%s of the policy is out of range", d.name))
		}
	}
	c := &Cache{p: p, entries: map[entryID]*entry{}, calls: map[entryID]*call{}}
	c.recent.prev, c.recent.next = &c.recent, &c.recent
	return c, nil
}

// Partition says whose keys are kept together. All of it is required.
type Partition struct {
	Tenant  tenant.ID
	Key     string // the key service's name of the key; Invalidate takes it
	Session Session
}

// Keyring returns a keyring that keeps what ring makes and opens, for one
// partition. ring must hold the credentials of the partition's session. It is
// a [Wrapper] if ring is.
//
// Only an [Envelope] is given a data key that sealed other messages, since it
// derives a key of its own for every one: for other callers GenerateDataKey
// always makes a new one. Opened keys are kept for everybody.
//
// Every use asks the session: after its end the errors wrap [ErrSession].
// Keyring refuses an incomplete partition with [ErrMalformed].
func (c *Cache) Keyring(p Partition, ring Keyring) (Keyring, error) {
	if ring == nil || p.Session == nil || p.Tenant.IsZero() || p.Key == "" || p.Session.ID().IsZero() {
		return nil, at("cache", fail(ErrMalformed, "a partition needs a keyring, a tenant, a key and a session"))
	}
	v := &cachedRing{c: c, p: p, session: p.Session.ID(), ring: ring}
	h := sha256.New()
	for _, s := range []string{p.Tenant.String(), p.Key, v.session.String()} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Sum(v.prefix[:0])
	if w, ok := ring.(Wrapper); ok {
		return &cachedWrappingRing{v, w}, nil
	}
	return v, nil
}

// Invalidate forgets and wipes every data key under a key, whoever's session
// it belongs to: for when a grant is revoked or the key disabled. Once it has
// returned, no use that begins gets a key from before.
func (c *Cache) Invalidate(key string) {
	c.forget(func(p *cachedRing) bool { return p.p.Key == key })
}

// EndSession forgets and wipes every data key of a session.
func (c *Cache) EndSession(id tenant.SessionID) {
	c.forget(func(p *cachedRing) bool { return p.session == id })
}

func (c *Cache) forget(match func(*cachedRing) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if match(e.owner) {
			c.drop(e)
		}
	}
	for id, call := range c.calls {
		if match(call.owner) {
			call.stale = true
			call.cancel() // who waits for it asks again
			delete(c.calls, id)
		}
	}
}

// Stats returns the counts.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries = len(c.entries)
	return s
}

// Close wipes everything, ends calls of the key service that are under way and
// waits for them. Uses after it fail with [ErrClosed]. It is harmless twice.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for _, e := range c.entries {
		c.drop(e)
	}
	for id, call := range c.calls {
		call.stale = true
		call.cancel()
		delete(c.calls, id)
	}
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	c.mu.Unlock()
	c.running.Wait()
}

// cachedRing is one partition's view of a cache.
type cachedRing struct {
	c       *Cache
	p       Partition
	session tenant.SessionID
	ring    Keyring
	prefix  [sha256.Size]byte
}

type cachedWrappingRing struct {
	*cachedRing
	w Wrapper
}

// WrapDataKey implements [Wrapper]; nothing is kept.
func (v *cachedWrappingRing) WrapDataKey(ctx context.Context, ec Context, plaintext []byte) ([]EncryptedDataKey, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	return v.w.WrapDataKey(ctx, ec, plaintext)
}

// check asks the session.
func (v *cachedRing) check() error {
	if err := v.p.Session.Err(); err != nil {
		return fail(ErrSession, "%w", err)
	}
	if x := v.p.Session.Expires(); over(x, x.Round(0)) {
		return fail(ErrSession, "expired")
	}
	return nil
}

// GenerateDataKey implements [Keyring].
func (v *cachedRing) GenerateDataKey(ctx context.Context, ec Context) (*DataKey, error) {
	return v.generateSized(ctx, ec, unknownSize)
}

func (v *cachedRing) generateSized(ctx context.Context, ec Context, size int64) (*DataKey, error) {
	if size == unknownSize || size > v.c.p.MaxBytes || ec.IsZero() {
		if err := v.check(); err != nil {
			return nil, err
		}
		return v.ring.GenerateDataKey(ctx, ec)
	}
	return v.c.use(ctx, v, request{id: v.id('g', ec, nil), ec: ec, size: size})
}

// DecryptDataKey implements [Keyring].
func (v *cachedRing) DecryptDataKey(ctx context.Context, ec Context, keys []EncryptedDataKey) (*DataKey, error) {
	if len(keys) == 0 || ec.IsZero() {
		if err := v.check(); err != nil {
			return nil, err
		}
		return v.ring.DecryptDataKey(ctx, ec, keys)
	}
	return v.c.use(ctx, v, request{id: v.id('d', ec, keys), ec: ec, keys: keys})
}

// id names what is asked for. Every part has its length before it, so that no
// two requests share a name.
func (v *cachedRing) id(kind byte, ec Context, keys []EncryptedDataKey) entryID {
	var room [1024]byte
	b := append(append(room[:0], v.prefix[:]...), kind)
	b = binary.BigEndian.AppendUint32(b, uint32(len(ec.canonical)))
	b = append(b, ec.canonical...)
	for i := range keys {
		k := &keys[i]
		b = binary.BigEndian.AppendUint32(b, uint32(len(k.Provider)))
		b = append(b, k.Provider...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(k.Info)))
		b = append(b, k.Info...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(k.Ciphertext)))
		b = append(b, k.Ciphertext...)
	}
	return sha256.Sum256(b)
}
