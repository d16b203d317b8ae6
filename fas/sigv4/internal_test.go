package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// The two kept states are HMAC, whatever the length of the key.
func TestKeptStatesAreHMAC(t *testing.T) {
	t.Parallel()
	s := borrow()
	defer s.release()
	for _, n := range []int{0, 1, 31, 32, 44, 63, 64, 65, 200} {
		key, msg := bytes.Repeat([]byte{byte(n + 1)}, n), bytes.Repeat([]byte("m"), 2*n)
		want := hmac.New(sha256.New, key)
		want.Write(msg)
		s.key(key[:n/2], key[n/2:])
		for range 2 {
			s.sign(msg)
			if !bytes.Equal(s.sum[:], want.Sum(nil)) {
				t.Errorf("a key of %d bytes makes another HMAC", n)
			}
		}
	}
}

func TestReleaseWipes(t *testing.T) {
	t.Parallel()
	// A buffer too large for the pool keeps s from those who borrow from it.
	s := &scratch{h: sha256.New().(hasher), out: make([]byte, maxKept+1)}
	s.derive([]byte("secret"), "20260301", "r", "s")
	s.sign([]byte("m"))
	inner := s.mac.inner
	if bytes.Equal(inner, make([]byte, len(inner))) {
		t.Fatal("the control: there is nothing to wipe")
	}
	s.release()
	if !bytes.Equal(inner, make([]byte, len(inner))) || s.sum != [32]byte{} || s.block != [64]byte{} {
		t.Error("a key is left")
	}
}

// counting counts the bytes that are hashed.
type counting struct {
	hasher
	n int
}

func (c *counting) Write(b []byte) (int, error) { c.n += len(b); return c.hasher.Write(b) }

func claimOf(t *testing.T, id string, secret tenant.Secret, at time.Time) Evidence {
	t.Helper()
	r := httptest.NewRequest("POST", "/op", nil)
	if err := SignRequest(r, nil, Credentials{AccessKeyID: id, Secret: secret, Region: "r", Service: "s"}, at); err != nil {
		t.Fatal(err)
	}
	e, _, err := Capture(r, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What is refused costs the same hashing, whether the key exists, whether it
// was used today, and how the secret is wrong.
func TestRefusalsCostTheSame(t *testing.T) {
	t.Parallel()
	at := time.Now()
	right, wrong := tenant.NewSecret(make([]byte, 40)), tenant.NewSecret(bytes.Repeat([]byte{1}, 40))
	gone := tenant.NewSecret(make([]byte, 40))
	gone.Destroy()
	good := claimOf(t, "AKIA", tenant.NewSecret(make([]byte, 40)), at)
	forged := claimOf(t, "AKIA", wrong, at)
	warm := newCache(8)
	if !warm.matchHMAC(&good, right, true, true) || len(warm.young) != 1 {
		t.Fatal("the control: it does not verify")
	}
	cost := func(c *cache, e Evidence, secret tenant.Secret, known bool) (int, bool) {
		h := &counting{hasher: sha256.New().(hasher)}
		s := &scratch{h: h}
		match := s.matchHMAC(c, &e, secret, known, true)
		return h.n, match
	}
	unknown, _ := cost(newCache(8), forged, tenant.Secret{}, false)
	for name, c := range map[string]struct {
		cache  *cache
		e      Evidence
		secret tenant.Secret
		known  bool
	}{
		"unknown key, others cached":        {warm, forged, tenant.Secret{}, false},
		"unknown key, its signature cached": {warm, good, tenant.Secret{}, false},
		"forged, never used":                {newCache(8), forged, right, true},
		"forged, used today":                {warm, forged, right, true},
		"destroyed":                         {warm, good, gone, true},
		"another secret now":                {warm, good, wrong, true},
		"no secret":                         {warm, good, tenant.Secret{}, true},
	} {
		if n, match := cost(c.cache, c.e, c.secret, c.known); match || n != unknown {
			t.Errorf("%s: matches %v, hashes %d bytes where an unknown key costs %d", name, match, n, unknown)
		}
	}
	if n, match := cost(warm, good, right, true); !match || n >= unknown {
		t.Errorf("the control: matches %v, hashes %d bytes", match, n)
	}
}

func TestCacheIsBoundedAndWiped(t *testing.T) {
	t.Parallel()
	c := newCache(4)
	secret := tenant.NewSecret(make([]byte, 40))
	var macs []*mac
	for i := range 20 {
		m := &mac{[]byte{'s', byte(i)}, []byte{'s', byte(i)}}
		macs = append(macs, m)
		c.put([]byte(fmt.Sprint(i)), cached{secret: secret, mac: m})
		// The first one is used all the time and stays.
		if !c.find([]byte("0"), secret, func(k cached) {
			if k.mac != macs[0] || k.mac.inner[0] != 's' {
				t.Error("another key, or a wiped one, is found")
			}
		}) {
			t.Fatalf("a key in use is gone after %d", i)
		}
		if len(c.young)+len(c.old) > 2*c.size {
			t.Fatalf("%d keys", len(c.young)+len(c.old))
		}
	}
	for i, m := range macs {
		kept := c.find([]byte(fmt.Sprint(i)), secret, func(cached) {})
		if wiped := bytes.Equal(m.inner, make([]byte, 2)) && bytes.Equal(m.outer, make([]byte, 2)); wiped == kept {
			t.Errorf("key %d: kept %v, wiped %v", i, kept, wiped)
		}
	}
	if c.find([]byte("0"), tenant.NewSecret(make([]byte, 40)), func(cached) {}) {
		t.Error("a key is found with another secret")
	}
	c.wipe()
	if macs[0].inner[0] != 0 || len(c.young)+len(c.old) != 0 {
		t.Error("a key is left after Wipe")
	}
}

// Many use few keys of a cache that is too small, while it is wiped.
func TestCacheConcurrent(t *testing.T) {
	t.Parallel()
	at := time.Now()
	c := newCache(2)
	secrets, claims := make([]tenant.Secret, 8), make([]Evidence, 8)
	for i := range secrets {
		b := bytes.Repeat([]byte{byte(i)}, 40)
		secrets[i] = tenant.NewSecret(bytes.Clone(b))
		claims[i] = claimOf(t, fmt.Sprint("AKIA", i), tenant.NewSecret(b), at)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 400 {
				n := (i*7 + g) % 8
				if !c.matchHMAC(&claims[n], secrets[n], true, true) {
					t.Error("the right secret does not match")
				}
				if c.matchHMAC(&claims[n], secrets[(n+1)%8], true, true) {
					t.Error("another's secret matches")
				}
				if i%50 == 0 {
					c.wipe()
				}
			}
		})
	}
	wg.Wait()
}

// The range of the derivation of SigV4A ends below the order of the curve.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := borrow()
	defer s.release()
	secret := tenant.NewSecret([]byte("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
	k, err := deriveECDSA(s, secret, "AKIDEXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	if want := k.Curve.Params().N; want.BitLen() != 256 {
		t.Fatal(want)
	} else if got := append(bytes.Clone(orderMinus2[:31]), orderMinus2[31]+2); !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%x is not the order", got)
	}
	if _, err := deriveECDSA(s, tenant.Secret{}, "AKIDEXAMPLE"); err == nil {
		t.Error("a key is derived from nothing")
	}
}
