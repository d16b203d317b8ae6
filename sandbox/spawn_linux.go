package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// startTimeout is how long a worker may take to confine itself.
const startTimeout = 10 * time.Second

// worker is one confined process that has had no request, or its one.
type worker struct {
	process *os.Process
	conn    *net.UnixConn
	stderr  *tail
	seen    Observation
	tier    Tier
	layers  layer
	started time.Time
	used    bool
	exited  chan struct{}
	state   *os.ProcessState // valid after exited is closed
}

type spawnJob struct {
	argv  []string
	attr  *os.ProcAttr
	reply chan<- spawned
}

type spawned struct {
	process *os.Process
	err     error
}

var (
	spawnOnce sync.Once
	spawns    chan spawnJob
)

// startProcess starts every worker from one thread that never ends: the kernel
// sends the parent-death signal when the starting thread ends, not the process.
func startProcess(argv []string, attr *os.ProcAttr) (*os.Process, error) {
	spawnOnce.Do(func() {
		spawns = make(chan spawnJob)
		go func() {
			runtime.LockOSThread()
			for j := range spawns {
				// The link resolves in the child to the binary that runs now, even if
				// its path was replaced or is not reachable for the worker's user.
				p, err := os.StartProcess("/proc/self/exe", j.argv, j.attr)
				j.reply <- spawned{p, err}
			}
		}()
	})
	reply := make(chan spawned, 1)
	spawns <- spawnJob{argv, attr, reply}
	r := <-reply
	return r.process, r.err
}

// Attr is how a process is started that will give itself a tier with
// [Confine]: as nobody where this process is root, and in namespaces of its
// own where the tier has them. The kernel kills the process when the thread
// that started it ends, so start it from one that never does.
func Attr(t Tier) *syscall.SysProcAttr { return sysProcAttr(t.layers()) }

func sysProcAttr(l layer) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	root := os.Geteuid() == 0 && hasUser(nobody)
	if l&layerNamespaces != 0 {
		a.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
		uid, gid := os.Geteuid(), os.Getegid()
		if root {
			uid, gid = nobody, nobody
			a.GidMappingsEnableSetgroups = true
			a.Credential = &syscall.Credential{Uid: 0, Gid: 0}
		}
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
		return a
	}
	if root && l&layerCaps != 0 {
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return a
}

// hasUser reports whether the user namespace of this process maps uid.
func hasUser(uid int) bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		var in, out, n int
		if _, err := fmt.Sscan(line, &in, &out, &n); err == nil && uid >= in && uid-in < n {
			return true
		}
	}
	return false
}

func spawn(c *Config, tier Tier) (*worker, error) {
	l := tier.layers()
	if c.layers != 0 {
		l = c.layers
	}
	w := &worker{tier: tier, layers: l, started: time.Now(), exited: make(chan struct{}), stderr: &tail{}}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	w.conn = conn.(*net.UnixConn)
	err = w.start(c, theirs)
	// Our copy of the worker's end would hide the worker's death.
	theirs.Close()
	if err != nil {
		w.conn.Close()
		return nil, err
	}
	if err := w.ready(c); err != nil {
		w.kill()
		return nil, err
	}
	return w, nil
}

func (w *worker) start(c *Config, control *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	r, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	s, err := json.Marshal(setup{w.layers, c.MaxMessage, c.MaxFileSize, c.MemoryLimit})
	if err != nil {
		r.Close()
		return err
	}
	// The runtime would keep files of the control group open, to follow
	// changes of the processor quota that a short-lived worker does not need.
	env := append([]string{envSetup + "=" + string(s), "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}, c.Env...)
	w.process, err = startProcess(c.Command, &os.ProcAttr{
		Dir: "/", Env: env, Files: []*os.File{null, out, out, control}, Sys: sysProcAttr(w.layers),
	})
	if err != nil {
		r.Close()
		return fmt.Errorf("start: %w", err)
	}
	go w.stderr.fill(r)
	return nil
}

// ready waits for the worker's word that it is confined and looks for itself.
func (w *worker) ready(c *Config) error {
	// Reaping starts only after looking: until then the process ID cannot be
	// another's.
	defer func() {
		go func() {
			w.state, _ = w.process.Wait()
			close(w.exited)
		}()
	}()
	if err := w.conn.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	buf := make([]byte, frameSize+1)
	n, _, _, _, err := w.conn.ReadMsgUnix(buf, nil)
	if err != nil || n == 0 {
		return fmt.Errorf("%w: before it was ready: %q", ErrCrashed, w.stderr.text())
	}
	switch buf[0] {
	case frameRefuse:
		return fmt.Errorf("worker: %q", buf[1:n])
	case frameReady:
	default:
		return fmt.Errorf("%w: not ready", ErrProtocol)
	}
	var r ready
	if err := json.Unmarshal(buf[1:n], &r); err != nil || r.Layers != w.layers {
		return fmt.Errorf("%w: layers", ErrAttestation)
	}
	w.seen, err = Observe(w.process.Pid)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAttestation, err)
	}
	if c.skipObserve {
		return nil
	}
	return w.seen.check(w.layers)
}

func (w *worker) kill() {
	_ = w.process.Kill()
	<-w.exited
	w.conn.Close()
}

func (w *worker) dead() bool {
	select {
	case <-w.exited:
		return true
	default:
		return false
	}
}

// tail keeps the end of what a worker wrote to stdout and stderr, and lets the
// rest go, so that a worker can neither fill memory nor block.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 2048

func (t *tail) fill(r io.ReadCloser) {
	defer r.Close()
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		t.mu.Lock()
		t.b = append(t.b, buf[:n]...)
		t.b = t.b[max(0, len(t.b)-tailSize):]
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.ToValidUTF8(t.b[max(0, len(t.b)-1000):], []byte("?")))
}

var errNoCommand = errors.New("no command for a worker")
