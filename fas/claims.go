package fas

import "hash/maphash"

// claims is a table of keys and of when each was claimed, in milliseconds
// before the end of all of them; never zero. Sixteen bytes of a SHA-256 are
// enough for a key: a collision refuses, and is as hard to find as two
// evidences of one name. A Go map of them would take up to twice the memory.
type claims struct {
	// Callers choose what is hashed: they must not choose where it lies.
	seed  maphash.Seed
	slots []claimSlot
	n     int
}

type claimSlot struct {
	key [16]byte
	ms  uint32 // zero where there is none
}

func newClaims() *claims { return &claims{seed: maphash.MakeSeed(), slots: make([]claimSlot, 16)} }

// find returns the slot of a key, or the free one where it belongs.
func (c *claims) find(key [16]byte) *claimSlot {
	n := uint64(len(c.slots))
	for i := maphash.Bytes(c.seed, key[:]) % n; ; i = (i + 1) % n {
		if s := &c.slots[i]; s.ms == 0 || s.key == key {
			return s
		}
	}
}

func (c *claims) get(key [16]byte) (ms uint32) { return c.find(key).ms }

// add keeps a key that is not there.
func (c *claims) add(key [16]byte, ms uint32) {
	if c.n++; c.n*8 > len(c.slots)*7 {
		old := c.slots
		c.slots = make([]claimSlot, len(old)+len(old)/2)
		for _, s := range old {
			if s.ms != 0 {
				*c.find(s.key) = s
			}
		}
	}
	*c.find(key) = claimSlot{key, ms}
}
