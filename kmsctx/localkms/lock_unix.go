//go:build unix

package localkms

import (
	"errors"
	"os"
	"syscall"
)

// lockDir waits for the lock of a directory. It ends with the process. A file
// of its own could be removed while it is locked, and the next one to come would
// lock another.
func lockDir(path string) (unlock func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
	}
}
