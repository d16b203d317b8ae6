package fas

import (
	"sync"
	"testing"
	"time"
)

// One key waits for itself and for no other, and leaves nothing behind.
func TestKeyedLocks(t *testing.T) {
	t.Parallel()
	var k keyed[int]
	unlock := k.lock(1)
	k.lock(2)() // another tenant goes on
	got := make(chan func())
	go func() { got <- k.lock(1) }()
	select {
	case <-got:
		t.Fatal("two hold one lock")
	case <-time.After(20 * time.Millisecond):
	}
	unlock()
	(<-got)()
	n := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			defer k.lock(3)()
			n++
		})
	}
	wg.Wait()
	if n != 50 || len(k.locks) != 0 {
		t.Errorf("%d of 50, %d locks left", n, len(k.locks))
	}
}
