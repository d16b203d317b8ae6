//go:build unix

package profile_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
)

// Whoever writes the directory can put a pipe where a file was a moment ago. A
// store that waited for it would keep in force what was withdrawn.
func TestStoreWaitsForNoPipe(t *testing.T) {
	t.Parallel()
	h := newShelf(t)
	name := filepath.Join(h.dir, "p.json")
	pipe, file := filepath.Join(h.dir, "pipe"), filepath.Join(h.dir, "file")
	if err := os.WriteFile(name, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := profile.OpenStore(h.dir, h.state, h.keys, func(profile.Change) {}, &profile.StoreOptions{Every: -1})
	if err != nil {
		t.Fatal(err)
	}
	swapped := make(chan error)
	stop := make(chan struct{})
	go func() {
		defer close(swapped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Rename(pipe, name), os.WriteFile(file, []byte("{}"), 0o600), os.Rename(file, name)); err != nil {
				swapped <- err
				return
			}
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
			if err := s.Reload(); err != nil {
				t.Error(err)
			}
		}
	}()
	select {
	case <-done:
		close(stop)
	case err := <-swapped:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		close(stop)
		t.Error("a reload waits for a pipe")
	}
	if err := <-swapped; err != nil {
		t.Error(err)
	}
}
