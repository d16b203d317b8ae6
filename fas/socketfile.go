package fas

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// listenUnix makes the socket under a temporary umask-proof name, so that it is
// never there with another mode.
func listenUnix(path string) (net.Listener, error) {
	// What stands there is removed if it is a socket that nobody answers.
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is there and not a socket", filepath.Base(path))
		}
		if c, err := net.Dial("unix", path); err == nil {
			return nil, errors.Join(fmt.Errorf("%s is answered by another process", filepath.Base(path)), c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(tmp)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(tmp, 0o660), os.Rename(tmp, path)); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(tmp))
	}
	return &unixListener{UnixListener: l, path: path}, nil
}

type unixListener struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Close removes the path, once: what stands there later is another's.
func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() { err = errors.Join(err, os.Remove(l.path)) })
	return err
}

// checkFolder refuses a folder in which somebody else could put another socket,
// and one that somebody else could exchange for another.
func checkFolder(path string) error {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	// Links on the way lie in folders of their own.
	return errors.Join(checkFolders(dir, path), checkFolders(real, path))
}

func checkFolders(dir, path string) error {
	for own := true; ; own = false {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
		// In a sticky folder, as /tmp is, everybody's are their own.
		shared := info.Mode().Perm()&0o022 != 0 && (own || info.Mode()&os.ModeSticky == 0)
		if shared || !ours(info) {
			return fmt.Errorf("%w: others may exchange the socket %s: they may write %s; give it to the firewall's user or to root, with mode 0750 or less", ErrConfig, filepath.Base(path), dir)
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		return nil
	}
}
