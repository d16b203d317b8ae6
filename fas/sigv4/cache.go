package sigv4

import (
	"crypto/ecdsa"
	"sync"

	"github.com/cloisterdev/cloister/tenant"
)

// cacheSize is how many signing keys a generation holds: some 500 bytes each.
const cacheSize = 4096

// cached is what a secret became: the states of an HMAC, or a public key.
// Another secret under the same name is not it.
type cached struct {
	secret tenant.Secret
	mac    *mac
	public *ecdsa.PublicKey
}

// cache keeps two generations: what is used moves to the young one, and when
// that is full the old one is wiped. Names are credentials as they are signed,
// with an access key and a scope. A nil cache keeps nothing.
type cache struct {
	size       int
	mu         sync.RWMutex
	young, old map[string]cached
}

func newCache(size int) *cache { return &cache{size: size, young: map[string]cached{}} }

// find lets use see a key under the lock: it may be wiped after.
func (c *cache) find(name []byte, secret tenant.Secret, use func(cached)) bool {
	c.mu.RLock()
	k, young := c.young[string(name)]
	_, old := c.old[string(name)]
	if young && k.secret == secret {
		use(k)
	}
	c.mu.RUnlock()
	if young || !old {
		return young && k.secret == secret
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if k, old = c.old[string(name)]; old {
		delete(c.old, string(name))
		c.add(string(name), k)
	} else {
		k = c.young[string(name)]
	}
	if k.secret != secret || k.mac == nil && k.public == nil {
		return false
	}
	use(k)
	return true
}

func (c *cache) put(name []byte, k cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(string(name), k)
}

func (c *cache) add(name string, k cached) {
	if len(c.young) >= c.size {
		wipeAll(c.old)
		c.old, c.young = c.young, make(map[string]cached)
	}
	if had, ok := c.young[name]; ok && had.mac != nil {
		had.mac.wipe()
	}
	c.young[name] = k
}

func (c *cache) wipe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	wipeAll(c.young)
	wipeAll(c.old)
	c.young, c.old = map[string]cached{}, nil
}

func wipeAll(m map[string]cached) {
	for _, k := range m {
		if k.mac != nil {
			k.mac.wipe()
		}
	}
}
