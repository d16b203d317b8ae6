package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
)

// Replace makes path a file of exactly these bytes, whether it is there or not,
// with these permissions as far as the process's umask leaves them. The temporary
// file is path + ".tmp", so only one at a time may replace a file: the caller has
// a lock on it, or is alone.
func Replace(path string, b []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	if err := fill(f, b); err != nil {
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
	err = errors.Join(f.Chmod(perm), fill(f, b))
	if err == nil {
		err = os.Link(f.Name(), path) // a rename would replace what came since somebody looked
	}
	if err != nil && !errors.Is(err, fs.ErrExist) && linkless(err) {
		err = createPlain(path, b, perm)
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// linkless is the error of a file system that has no hard links.
func linkless(err error) bool {
	var e *os.LinkError
	return errors.As(err, &e) && (errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported))
}

// createPlain is Create where there are no links: a power cut may leave a part.
func createPlain(path string, b []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if err := fill(f, b); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// Remove makes sure that there is no such file, nor an empty directory of that
// name. A file that is missing may be one whose removal was cut off, so it is no
// error, and the directory is synced all the same.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := SyncDir(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// MkdirAll makes a directory, and those above it that are missing. One that is
// there stays as it is, whoever made it.
func MkdirAll(path string, perm fs.FileMode) error {
	var above []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		above = append(above, filepath.Dir(p))
	}
	if err := os.MkdirAll(path, perm); err != nil {
		return err
	}
	for _, p := range slices.Backward(above) {
		if err := SyncDir(p); err != nil {
			return err
		}
	}
	return nil
}

// fill writes a file to its end, durably, and closes it.
func fill(f *os.File, b []byte) error {
	_, err := f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
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
