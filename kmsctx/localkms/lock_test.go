package localkms_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Whoever tidies up the directory does not take the lock away: every change
// that was acknowledged is there, and what was retired stays so.
func TestTidiedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const stores, grants = 4, 40
	must(t, open(t, dir).EnsureKey(ctx, "key"))
	done := make(chan struct{})
	var tidy, wg sync.WaitGroup
	tidy.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			all, err := os.ReadDir(dir)
			must(t, err)
			for _, e := range all {
				if e.Name() != "kms" && e.Name() != "kms.tmp" {
					_ = os.Remove(filepath.Join(dir, e.Name()))
				}
			}
		}
	})
	for i := range stores {
		k := open(t, dir)
		wg.Go(func() {
			for j := range grants {
				id, err := k.CreateGrant(ctx, "key", fmt.Sprint(i, "-", j), pairs("tenant", "a"))
				if err == nil && j%2 == 1 {
					err = k.RetireGrant(ctx, id)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(done)
	tidy.Wait()
	if n := len(open(t, dir).Grants()); n != stores*grants/2 {
		t.Errorf("%d grants, not %d", n, stores*grants/2)
	}
}
