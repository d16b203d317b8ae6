package stack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Descriptors of a child: its lifeline, then what its role needs.
const (
	fdLifeline = 3
	fdFirst    = 4
)

// child is one process of a role.
type child struct {
	role string
	cmd  *exec.Cmd
	life *os.File
	done chan struct{}
}

// spawn re-executes this binary in a role. The child's environment is an
// allow-list: no credential of the surrounding shell reaches it.
func spawn(role string, args []string, stderr io.Writer, files ...*os.File) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(exe, append([]string{"_" + role}, args...)...)
	cmd.Env = []string{"HOME=/nonexistent", "PATH=", "TZ=UTC", "GOTRACEBACK=none", "GODEBUG=" + os.Getenv("GODEBUG")}
	cmd.Stderr = stderr
	cmd.ExtraFiles = append([]*os.File{r}, files...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("stack: start %s: %w", role, err), w.Close())
	}
	c := &child{role: role, cmd: cmd, life: w, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// stop asks the child to end and waits; after the grace it is killed.
func (c *child) stop(grace time.Duration) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.life.Close()
	select {
	case <-c.done:
	case <-time.After(grace):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// Lifeline returns a channel that closes when the supervisor is gone. A child
// calls it first.
func Lifeline() <-chan struct{} {
	f := os.NewFile(fdLifeline, "lifeline")
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, f)
		close(gone)
	}()
	return gone
}

// File returns the n-th descriptor of the child's role, counted from 0.
func File(n int) *os.File { return os.NewFile(uintptr(fdFirst+n), fmt.Sprintf("role-%d", n)) }

// Listener returns the listening socket that is the n-th descriptor.
func Listener(n int) (net.Listener, error) {
	f := File(n)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("stack: descriptor %d is no listening socket: %w", n, err)
	}
	return l, nil
}

// UnixConn returns the unix socket that is the n-th descriptor.
func UnixConn(n int) (*net.UnixConn, error) { return unixConn(File(n)) }

func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("stack: no socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("stack: not a unix socket"), c.Close())
	}
	return u, nil
}

func socketPair(kind int) (a, b *os.File, err error) {
	// The lock keeps a fork of another goroutine from inheriting the pair
	// before it is marked close-on-exec.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	return os.NewFile(uintptr(fds[0]), "pair"), os.NewFile(uintptr(fds[1]), "pair"), nil
}

// prefixWriter marks each line of a child's log with its role.
type prefixWriter struct {
	mu     sync.Mutex
	w      io.Writer
	prefix string
	buf    []byte
}

func (p *prefixWriter) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf = append(p.buf, b...)
	for {
		i := indexByte(p.buf, '\n')
		if i < 0 {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(p.w, "%s %s\n", p.prefix, p.buf[:i]); err != nil {
			return 0, err
		}
		p.buf = p.buf[i+1:]
	}
}

func indexByte(b []byte, c byte) int {
	for i, x := range b {
		if x == c {
			return i
		}
	}
	return -1
}
