package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cloisterdev/cloister/internal/durable"
)

// alone checks what a file holds and that nothing else is left beside it.
func alone(t *testing.T, path, want string, perm fs.FileMode) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || string(b) != want {
		t.Errorf("holds %q, %v; not %q", b, err, want)
	}
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != perm {
		t.Errorf("mode %v, %v; not %v", i.Mode(), err, perm)
	}
	all, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

func TestCreateKeepsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := durable.Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.Create(path, []byte("second"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	alone(t, path, "first", 0o600)
	var made atomic.Int32
	race := filepath.Join(t.TempDir(), "race")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if durable.Create(race, []byte(strconv.Itoa(i)), 0o600) == nil {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d made one file", made.Load())
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := durable.Create(link, []byte("x"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a dangling link: %v", err)
	}
}

func TestReplaceIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for _, text := range []string{"long enough to notice", "", "short"} {
		if err := durable.Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		alone(t, path, text, 0o640)
	}
}

func TestNothingIsLeftOfAFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "by a directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(path, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced")
	}
	if err := durable.Create(path, []byte("x"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a directory: %v", err)
	}
	if err := durable.Replace(filepath.Join(dir, "no", "where"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
	other := filepath.Join(t.TempDir(), "state")
	if err := durable.Replace(other, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(other+".tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(other, []byte("after"), 0o600); err == nil {
		t.Error("written over a directory")
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "before" {
		t.Errorf("after a failure: %q, %v", b, err)
	}
	if err := durable.SyncDir(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("no directory was synced")
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := durable.Create(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{path, path, filepath.Join(dir, "nowhere", "key")} {
		if err := durable.Remove(gone); err != nil {
			t.Errorf("%s: %v", gone, err)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 0 {
		t.Errorf("left: %v, %v", all, err)
	}
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Remove(path); err == nil {
		t.Error("a directory with something in it was removed")
	}
}

func TestMkdirAll(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{filepath.Join("a", "b", "c"), "a", ".", filepath.Join(t.TempDir(), "a") + "/"} {
		for range 2 {
			if err := durable.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if i, err := os.Stat(path); err != nil || i.Mode() != fs.ModeDir|0o700 && path != "." {
			t.Errorf("%s: %v, %v", path, i, err)
		}
	}
	if err := os.WriteFile("file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"file", filepath.Join("file", "a")} {
		if err := durable.MkdirAll(path, 0o700); err == nil {
			t.Errorf("%s was made", path)
		}
	}
}
