package localkms

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cloisterdev/cloister/internal/durable"
)

// files is what the store does to its file system when it changes something,
// call by call, so that a test can cut the power before each.
type files interface {
	mkdir(path string) error
	create(path string) (file, error)
	rename(from, to string) error
	syncDir(path string) error
}

type file interface {
	Write(b []byte) (int, error)
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

type disk struct{}

func (disk) mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (disk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (disk) rename(from, to string) error { return os.Rename(from, to) }

func (disk) syncDir(path string) error { return durable.SyncDir(path) }

// mkdirAll makes a directory that is still there after a power cut: a new
// entry is durable when its parent is.
func mkdirAll(f files, path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: errors.New("not a directory")}
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := mkdirAll(f, parent); err != nil {
			return err
		}
	}
	if err := f.mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncDir(parent)
}
