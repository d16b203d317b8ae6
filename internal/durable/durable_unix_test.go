//go:build unix

package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cloisterdev/cloister/internal/durable"
)

// What may come back is not reported as done: without a file descriptor to sync
// the directory with, names still change.
func TestUnsyncedChangesAreErrors(t *testing.T) {
	dir := t.TempDir()
	file, made := filepath.Join(dir, "file"), filepath.Join(dir, "made")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := was
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Skip(err)
	}
	removed, again, mkdir := durable.Remove(file), durable.Remove(file), durable.MkdirAll(made, 0o700)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if removed == nil || again == nil || mkdir == nil {
		t.Errorf("unsynced: removed %v, again %v, made %v", removed, again, mkdir)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the test did not remove: %v", err)
	}
	if _, err := os.Stat(made); err != nil {
		t.Errorf("the test made nothing: %v", err)
	}
}
