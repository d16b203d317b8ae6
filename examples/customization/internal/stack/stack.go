package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Config says where and how to run.
type Config struct {
	// Dir is the data directory, made if absent. Required.
	Dir string
	// Listen and S3Listen are the API's and the customer cloud's addresses.
	// Empty means a free port on the loopback interface.
	Listen, S3Listen string
	// Log receives the children's log lines; nil discards them.
	Log io.Writer
	// Args are passed on to every role.
	Args []string
}

// Stack is a running service.
type Stack struct {
	cfg      Config
	api, s3  net.Listener
	mu       sync.Mutex
	kids     map[string]*child
	toWall   *net.UnixConn // hands connections to the firewall
	restarts map[string]int
	stopping bool
	wg       sync.WaitGroup
}

// Start starts the processes and returns when the API answers.
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	if cfg.Dir == "" {
		return nil, errors.New("stack: a data directory is required")
	}
	abs, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = abs
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	s := &Stack{cfg: cfg, kids: map[string]*child{}, restarts: map[string]int{}}
	if s.api, err = listen(cfg.Listen); err != nil {
		return nil, err
	}
	if s.s3, err = listen(cfg.S3Listen); err != nil {
		return nil, errors.Join(err, s.api.Close())
	}
	if err := errors.Join(s.start("firewall"), s.start("cloud"), s.start("front")); err != nil {
		s.Stop()
		return nil, err
	}
	if err := s.Wait(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func listen(addr string) (net.Listener, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("stack: listen on %s: %w (choose another address)", addr, err)
	}
	return l, nil
}

// Addr is the API's address.
func (s *Stack) Addr() string { return s.api.Addr().String() }

// S3Addr is the customer cloud's address.
func (s *Stack) S3Addr() string { return s.s3.Addr().String() }

// Dir is the data directory.
func (s *Stack) Dir() string { return s.cfg.Dir }

// PID returns the process of a role, or 0.
func (s *Stack) PID(role string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.kids[role]; c != nil {
		return c.cmd.Process.Pid
	}
	return 0
}

// Kill sends SIGKILL to a role's process, which is then started again.
func (s *Stack) Kill(role string) error {
	pid := s.PID(role)
	if pid == 0 {
		return fmt.Errorf("stack: no process %q", role)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

func (s *Stack) start(role string) error {
	log := &prefixWriter{w: s.cfg.Log, prefix: role + ":"}
	args := append([]string{"--data", s.cfg.Dir}, s.cfg.Args...)
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	var mine *os.File
	switch role {
	case "firewall":
		a, b, err := socketPair(syscall.SOCK_STREAM)
		if err != nil {
			return err
		}
		mine, files = a, append(files, b)
	case "cloud":
		f, err := s.s3.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		files = append(files, f)
	case "front":
		conn, err := s.dialFirewall()
		if err != nil {
			return err
		}
		l, err := s.api.(*net.TCPListener).File()
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		files = append(files, conn, l)
		args = append(args, "--s3", s.S3Addr())
	}
	c, err := spawn(role, args, log, files...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine != nil {
		u, err := unixConn(mine)
		if err != nil {
			return err
		}
		if s.toWall != nil {
			s.toWall.Close()
		}
		s.toWall = u
	}
	s.kids[role] = c
	s.wg.Add(1)
	go s.watch(c)
	return nil
}

// dialFirewall makes a pair, hands one end to the firewall and returns the
// other.
func (s *Stack) dialFirewall() (*os.File, error) {
	a, b, err := socketPair(syscall.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	s.mu.Lock()
	wall := s.toWall
	s.mu.Unlock()
	if wall == nil {
		return nil, errors.Join(errors.New("stack: no firewall"), a.Close())
	}
	if _, _, err := wall.WriteMsgUnix([]byte{1}, syscall.UnixRights(int(b.Fd())), nil); err != nil {
		return nil, errors.Join(fmt.Errorf("stack: hand a connection to the firewall: %w", err), a.Close())
	}
	return a, nil
}

// Connections yields what the supervisor hands to the firewall, until the
// supervisor is gone.
func Connections(c *net.UnixConn, serve func(*net.UnixConn)) error {
	buf, oob := make([]byte, 1), make([]byte, 64)
	for {
		n, m, _, _, err := c.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			return err
		}
		msgs, err := syscall.ParseSocketControlMessage(oob[:m])
		if err != nil || len(msgs) != 1 {
			continue
		}
		fds, err := syscall.ParseUnixRights(&msgs[0])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			u, err := unixConn(os.NewFile(uintptr(fd), "front"))
			if err == nil {
				serve(u)
			}
		}
	}
}

// watch starts a role again when its process ends. A front end whose firewall
// died is useless, since its connections are gone, and is restarted with it.
func (s *Stack) watch(c *child) {
	defer s.wg.Done()
	<-c.done
	_ = c.life.Close()
	s.mu.Lock()
	if s.stopping || s.kids[c.role] != c {
		s.mu.Unlock()
		return
	}
	delete(s.kids, c.role)
	s.restarts[c.role]++
	n := s.restarts[c.role]
	front := s.kids["front"]
	s.mu.Unlock()
	fmt.Fprintf(s.cfg.Log, "supervisor: %s ended (%v), starting it again\n", c.role, c.cmd.ProcessState)
	// A process that cannot start must not spin.
	time.Sleep(min(time.Duration(n)*20*time.Millisecond, time.Second))
	for {
		s.mu.Lock()
		stop := s.stopping
		s.mu.Unlock()
		if stop {
			return
		}
		err := s.start(c.role)
		if err == nil {
			break
		}
		fmt.Fprintf(s.cfg.Log, "supervisor: %s: %v\n", c.role, err)
		time.Sleep(200 * time.Millisecond)
	}
	if c.role == "firewall" && front != nil {
		_ = front.cmd.Process.Kill()
	}
}

// Wait returns when the API and the cloud answer, or with the context's error.
func (s *Stack) Wait(ctx context.Context) error {
	for {
		ctx1, cancel := context.WithTimeout(ctx, time.Second)
		r, err := http.NewRequestWithContext(ctx1, http.MethodGet, "http://"+s.Addr()+"/healthz", nil)
		if err != nil {
			cancel()
			return err
		}
		res, err := http.DefaultClient.Do(r)
		cancel()
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stack: the service did not come up: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the processes, the front end first, and waits for them.
func (s *Stack) Stop() {
	s.mu.Lock()
	s.stopping = true
	kids := s.kids
	s.kids = map[string]*child{}
	s.mu.Unlock()
	for _, role := range []string{"front", "cloud", "firewall"} {
		if c := kids[role]; c != nil {
			c.stop(5 * time.Second)
		}
	}
	s.wg.Wait()
	if s.toWall != nil {
		s.toWall.Close()
	}
	s.api.Close()
	s.s3.Close()
}

// DialFirewall returns a new connection to the firewall, as a front end has
// one. The demo uses it to play a compromised front end.
func (s *Stack) DialFirewall() (*net.UnixConn, error) {
	f, err := s.dialFirewall()
	if err != nil {
		return nil, err
	}
	return unixConn(f)
}
