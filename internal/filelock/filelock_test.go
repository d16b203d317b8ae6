package filelock_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/internal/filelock"
)

const childLocks = "FILELOCK_TEST_PATH"

// The test binary is also the other process.
func TestMain(m *testing.M) {
	if path := os.Getenv(childLocks); path != "" {
		unlock, err := filelock.Lock(path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		_, _ = os.Stdin.Read(make([]byte, 1))
		_ = unlock()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLockExcludes(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	unlock, err := filelock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := filelock.Try(path); !errors.Is(err, filelock.ErrLocked) || u != nil {
		t.Errorf("a second lock: %v", err)
	}
	got := make(chan func() error)
	go func() {
		u, err := filelock.Lock(path)
		if err != nil {
			t.Error(err)
		}
		got <- u
	}()
	select {
	case <-got:
		t.Fatal("two hold the lock")
	case <-time.After(50 * time.Millisecond):
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := (<-got)(); err != nil {
		t.Error(err)
	}
	if u, err := filelock.Try(filepath.Join(path, "x")); err == nil || u != nil {
		t.Error("a directory that is not there")
	}
}

// The lock of a process that was killed is free.
func TestLockEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childLocks+"="+path)
	in, err1 := child.StdinPipe()
	out, err2 := child.StdoutPipe()
	if err := errors.Join(err1, err2, child.Start()); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	said := make([]byte, 6)
	if _, err := out.Read(said); err != nil || string(said) != "locked" {
		t.Fatalf("%q, %v", said, err)
	}
	if _, err := filelock.Try(path); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("while another process holds it: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	unlock, err := filelock.Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// Who tidies the directory does not let a second one in.
func TestTidiedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := filelock.Try(dir)
	if err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if u, err := filelock.Try(dir); !errors.Is(err, filelock.ErrLocked) || u != nil {
		t.Errorf("a second lock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestAlone(t *testing.T) {
	dir := t.TempDir()
	unlock, err := filelock.Alone(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := filelock.Alone(dir); !errors.Is(err, filelock.ErrLocked) || again != nil {
		t.Errorf("a second one: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := filelock.Alone(filepath.Join(dir, "nowhere")); err == nil || errors.Is(err, filelock.ErrLocked) {
		t.Errorf("no folder: %v", err)
	}
}
