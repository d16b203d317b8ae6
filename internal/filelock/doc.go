// Package filelock keeps processes apart by a lock on a directory. A file for
// the lock alone could be removed while it is held, and the next one to come
// would lock another.
//
// The lock is flock(2): it belongs to the open directory, ends with the process,
// and is advice that only other users of this package follow. It does not keep
// anybody from the files in it, does not reach over all network file
// systems, and does not exclude a second lock of the same process any less
// than one of another process. On systems without flock, [Lock] and [Try]
// return an error: without a lock a change of another process could be lost.
//
//	ErrLocked   [Try] and [Alone], while another holds the lock
package filelock

import (
	"errors"
	"os"
)

// ErrLocked is returned by [Try] when another holds the lock.
var ErrLocked = errors.New("filelock: held by another")

// Lock waits for the lock of a directory, which must be there. The lock is held
// until unlock is called or the process ends.
func Lock(dir string) (unlock func() error, err error) { return lock(dir, true) }

// Try is [Lock] that does not wait: it returns [ErrLocked].
func Try(dir string) (unlock func() error, err error) { return lock(dir, false) }

// Alone is [Try] for whoever is to be the only one: on a system without locks it
// succeeds, and a second one is not detected.
func Alone(dir string) (unlock func() error, err error) {
	unlock, err = Try(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return func() error { return nil }, nil
	}
	return unlock, err
}

func lock(dir string, wait bool) (func() error, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := flock(f, wait); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
