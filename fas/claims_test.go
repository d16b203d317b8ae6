package fas

import (
	"math/rand/v2"
	"testing"
)

// The table knows what a map knows, at every size.
func TestClaims(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	c, want := newClaims(), map[[16]byte]uint32{}
	for n := range 20_000 {
		var k [16]byte
		for i := range k {
			k[i] = byte(r.IntN(256)) & 0x0f // many alike
		}
		if got := c.get(k); got != want[k] {
			t.Fatalf("after %d: %d for %d", n, got, want[k])
		}
		if want[k] == 0 {
			want[k] = uint32(n) + 1
			c.add(k, want[k])
		}
	}
	for k, ms := range want {
		if c.get(k) != ms {
			t.Fatal("an entry is lost")
		}
	}
	if c.n != len(want) || len(c.slots)*4 > 7*c.n {
		t.Errorf("%d of %d in %d slots", c.n, len(want), len(c.slots))
	}
}
