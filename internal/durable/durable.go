package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// Replace makes path a file of exactly these bytes and permissions, whether it
// is there or not. The temporary file is path + ".tmp", so only one at a time
// may replace a file: the caller has a lock on it, or is alone.
func Replace(path string, b []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := fill(f, b, perm); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// Create makes path a file of exactly these bytes and permissions. Where one is
// already, or another caller makes one at this moment, it stays, and the error
// wraps [fs.ErrExist].
func Create(path string, b []byte, perm fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	err = fill(f, b, perm)
	if err == nil {
		err = os.Link(f.Name(), path) // a rename would replace what came since somebody looked
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// fill writes a file to its end, durably, and closes it.
func fill(f *os.File, b []byte, perm fs.FileMode) error {
	_, err := f.Write(b)
	return errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
}

// SyncDir makes durable which files a directory has.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // has no such call
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
