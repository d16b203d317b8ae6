package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Where a file system has no links, a file that is there stays all the same.
func TestWithoutLinks(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"not permitted":   {&os.LinkError{Op: "link", Err: syscall.EPERM}, true},
		"not supported":   {&os.LinkError{Op: "link", Err: syscall.ENOTSUP}, true},
		"it is there":     {&os.LinkError{Op: "link", Err: syscall.EEXIST}, false},
		"another's error": {&fs.PathError{Op: "open", Err: syscall.EPERM}, false},
	} {
		if got := linkless(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := createPlain(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := createPlain(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "first" {
		t.Errorf("%q, %v", b, err)
	}
}
