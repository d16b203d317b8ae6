package sigv4

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"sync"

	"github.com/cloisterdev/cloister/tenant"
)

// A mismatch must not tell whether a key exists, nor whether somebody used it
// today. So there are two attempts, and whatever fails has made both: the first
// with the key in the cache, or else one that nobody has; the second with a key
// derived from the secret, or else from one that nobody has. Only what matches
// is done after the first.

// standIn is what takes the place of keys that are not there.
type standIn struct {
	secret tenant.Secret
	mac    *mac
	public *ecdsa.PublicKey
}

var nobody = sync.OnceValue(func() *standIn {
	n := &standIn{secret: tenant.NewSecret(make([]byte, 40))}
	s := borrow()
	defer s.release()
	s.key(make([]byte, 32))
	n.mac = s.mac.clone()
	if k, err := deriveECDSA(s, n.secret, "NOBODY"); err == nil {
		n.public = &k.PublicKey
	}
	return n
})

func alive([]byte) error { return nil }

func (c *cache) matchHMAC(e *Evidence, secret tenant.Secret, known, keep bool) bool {
	s := borrow()
	defer s.release()
	return s.matchHMAC(c, e, secret, known, keep)
}

func (s *scratch) matchHMAC(c *cache, e *Evidence, secret tenant.Secret, known, keep bool) bool {
	known = known && secret.Use(alive) == nil
	s.out = e.appendStringToSign(s.out[:0])
	s.query = e.appendScope(append(append(s.query[:0], e.accessKeyID...), '/'))
	if c != nil {
		found := c.find(s.query, secret, func(k cached) { s.mac.copy(k.mac) })
		if !found {
			s.mac.copy(nobody().mac)
		}
		s.sign(s.out)
		if equal(s.sum[:], e.sig[:32]) && found && known {
			return true
		}
	}
	if !known {
		secret = nobody().secret
	}
	match := s.derived(secret, e.date[:8], e.region, e.service, [32]byte(e.sig[:32])) && known
	if match && keep && c != nil {
		s.query = e.appendScope(append(append(s.query[:0], e.accessKeyID...), '/'))
		c.put(s.query, cached{secret: secret, mac: s.mac.clone()})
	}
	return match
}

// derived reports whether sig is the HMAC of s.out with a key derived now,
// which stays in s.mac.
func (s *scratch) derived(secret tenant.Secret, day, region, service string, sig [32]byte) (match bool) {
	err := secret.Use(func(b []byte) error {
		s.derive(b, day, region, service)
		s.sign(s.out)
		match = equal(s.sum[:], sig[:])
		return nil
	})
	return match && err == nil
}

func (c *cache) matchECDSA(e *Evidence, k Key, known, keep bool) bool {
	s := borrow()
	defer s.release()
	s.out = e.appendStringToSign(s.out[:0])
	sum := s.hash(s.out)
	sig := bytes.Clone(e.sig[:e.sigLen]) // so that evidence stays off the heap
	bySecret := known && k.Public == nil && k.Secret.Use(alive) == nil
	byPublic := known && k.Public != nil && k.Public.Curve == elliptic.P256()
	name := []byte(e.accessKeyID + "/" + asymmetric)
	var public *ecdsa.PublicKey
	if byPublic {
		public = k.Public
	} else if c != nil {
		c.find(name, k.Secret, func(k cached) { public = k.public })
	}
	found := public != nil
	if !found {
		public = nobody().public
	}
	if ecdsa.VerifyASN1(public, sum[:], sig) && found && (byPublic || bySecret) {
		return true
	}
	secret := nobody().secret
	if bySecret {
		secret = k.Secret
	}
	derived, err := deriveECDSA(s, secret, e.accessKeyID)
	if err != nil {
		return false
	}
	match := ecdsa.VerifyASN1(&derived.PublicKey, sum[:], sig) && bySecret
	if match && keep && c != nil {
		c.put(name, cached{secret: secret, public: &derived.PublicKey})
	}
	return match
}
