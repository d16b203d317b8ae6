//go:build !race

package sigv4_test

import (
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// What a request costs in garbage is bounded: reading it with its body, and
// verifying it with a key in the cache.
func TestAllocations(t *testing.T) {
	r, rewind := typical(t, creds, header)
	v := verifier(t, opts)
	n := testing.AllocsPerRun(100, func() {
		rewind()
		ev, _, err := sigv4.Capture(r, 1<<20)
		if err == nil {
			err = v.Verify(ev, time.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if n > 12 {
		t.Errorf("%v allocations", n)
	}
}
