package sigv4

import (
	"crypto/ecdsa"
	"strings"
	"sync"

	"github.com/cloisterdev/cloister/tenant"
)

// cacheSize is how many signing keys a generation holds: some 500 bytes each.
const cacheSize = 4096

// keyID names a signing key. The secret is part of it by identity, so that
// another one under the same access key finds nothing.
type keyID struct {
	accessKeyID, day, region, service string
	secret                            tenant.Secret
	ecdsa                             bool
}

// cached is one of two: the states of an HMAC, or a public key.
type cached struct {
	mac    *mac
	public *ecdsa.PublicKey
}

// cache keeps two generations: what is used moves to the young one, and when
// that is full the old one is wiped. A nil cache keeps nothing.
type cache struct {
	size       int
	mu         sync.RWMutex
	young, old map[keyID]cached
}

func newCache(size int) *cache { return &cache{size: size, young: map[keyID]cached{}} }

// find lets use see a key under the lock: it may be wiped after.
func (c *cache) find(id *keyID, use func(cached)) bool {
	c.mu.RLock()
	k, young := c.young[*id]
	_, old := c.old[*id]
	if young {
		use(k)
	}
	c.mu.RUnlock()
	if young || !old {
		return young
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, old = c.old[*id]; old {
		delete(c.old, *id)
		c.add(*id, k)
	} else if k, young = c.young[*id]; !young {
		return false
	}
	use(k)
	return true
}

func (c *cache) put(id keyID, k cached) {
	// The names are pieces of a request, which they would keep in memory.
	id.accessKeyID, id.day = strings.Clone(id.accessKeyID), strings.Clone(id.day)
	id.region, id.service = strings.Clone(id.region), strings.Clone(id.service)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(id, k)
}

func (c *cache) add(id keyID, k cached) {
	if len(c.young) >= c.size {
		wipeAll(c.old)
		c.old, c.young = c.young, make(map[keyID]cached)
	}
	if had, ok := c.young[id]; ok && had.mac != nil && had.mac != k.mac {
		had.mac.wipe()
	}
	c.young[id] = k
}

func (c *cache) wipe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	wipeAll(c.young)
	wipeAll(c.old)
	c.young, c.old = map[keyID]cached{}, nil
}

func wipeAll(m map[keyID]cached) {
	for _, k := range m {
		if k.mac != nil {
			k.mac.wipe()
		}
	}
}
