//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// target is what the test made for the attacks to aim at. Nothing else is
// attacked.
type target struct {
	Secret, Victim, Program, Socket, Abstract, TCP, UDP string
	Parent                                              int
	Token                                               string
	Address                                             uintptr // of the token in the parent
}

// The attacks of the table. Each returns nil when it succeeded.
var attacks = []struct {
	name string
	do   func(target) error
}{
	{"read a foreign file", func(t target) error {
		b, err := os.ReadFile(t.Secret)
		if err == nil && string(b) != t.Token {
			return errNo
		}
		return err
	}},
	{"write a foreign file", func(t target) error {
		f, err := os.OpenFile(t.Victim, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("x")
		return err
	}},
	{"stat a foreign file", func(t target) error {
		var st unix.Stat_t
		return unix.Stat(t.Secret, &st)
	}},
	{"read the parent's environ", func(t target) error {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(t.Parent) + "/environ")
		if err == nil && !bytes.Contains(b, []byte(t.Token)) {
			return errNo
		}
		return err
	}},
	{"list the root", func(target) error {
		d, err := os.ReadDir("/")
		if err == nil && len(d) == 0 {
			return errNo
		}
		return err
	}},
	{"TCP connect", func(t target) error { return dial("tcp", t.TCP) }},
	{"UDP send", func(t target) error { return dial("udp", t.UDP) }},
	{"abstract unix socket", func(t target) error { return dial("unix", t.Abstract) }},
	{"pathname unix socket", func(t target) error { return dial("unix", t.Socket) }},
	{"vsock socket", func(target) error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM) }},
	{"netlink socket", func(target) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW) }},
	{"exec a path", func(t target) error { return exec(t.Program) }},
	{"exec from a memfd", func(target) error {
		fd, err := unix.MemfdCreate("x", 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		// ENOEXEC is the kernel's word that it was willing and the file was not a
		// program; nothing needs to run.
		if _, err := unix.Write(fd, []byte("\x7fELF cut short")); err != nil {
			return err
		}
		if err := unix.Fchmod(fd, 0o700); err != nil {
			return err
		}
		if err := unix.Access("/proc/self/fd", unix.F_OK); err != nil {
			// Without /proc only execveat could name it; the test counts the
			// memfd itself, which nothing but seccomp refuses.
			return nil
		}
		_, err = os.StartProcess("/proc/self/fd/"+strconv.Itoa(fd), []string{"x"}, &os.ProcAttr{})
		if errors.Is(err, unix.ENOEXEC) {
			return nil
		}
		return err
	}},
	{"memory made executable", func(target) error {
		b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err == nil {
			err = unix.Munmap(b)
		}
		return err
	}},
	{"fork", func(target) error {
		pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 {
			return e
		}
		if pid == 0 {
			for {
				unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
		}
		_, err := unix.Wait4(int(pid), nil, 0, nil)
		return err
	}},
	{"ptrace the parent", func(t target) error {
		_, _, e := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(t.Parent), 0, 0, 0, 0)
		return errno(e)
	}},
	{"read the parent's memory", func(t target) error {
		b := make([]byte, len(t.Token))
		_, err := unix.ProcessVMReadv(t.Parent, []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}},
			[]unix.RemoteIovec{{Base: t.Address, Len: len(b)}}, 0)
		if err == nil && string(b) != t.Token {
			return errNo
		}
		return err
	}},
	{"signal the parent", func(t target) error { return unix.Kill(t.Parent, 0) }},
	{"io_uring", func(target) error {
		// A nil argument faults only once the call is let through.
		_, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)
		if e == unix.EFAULT {
			return nil
		}
		return errno(e)
	}},
	{"keyctl", func(target) error {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_PROCESS_KEYRING, true)
		return err
	}},
	{"new user namespace", func(target) error {
		// Go's process has threads, so EINVAL means: allowed as far as the check
		// for threads.
		if err := unix.Unshare(unix.CLONE_NEWUSER); err != unix.EINVAL {
			return err
		}
		return nil
	}},
	{"mount", func(target) error {
		return unix.Mount("none", "/", "tmpfs", 0, "size=4k")
	}},
}

var errNo = errors.New("nothing there")

func errno(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

func socket(domain, kind int) error {
	fd, err := unix.Socket(domain, kind, 0)
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

func dial(network, addr string) error {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("x"))
	return err
}

func exec(path string) error {
	p, err := os.StartProcess(path, []string{"x"}, &os.ProcAttr{})
	if err == nil {
		_, err = p.Wait()
	}
	return err
}

func attackHandler(_ context.Context, req []byte, _ []*os.File) ([]byte, error) {
	var r struct {
		N int
		T target
	}
	if err := json.Unmarshal(req, &r); err != nil {
		return nil, err
	}
	// Nobody attacks the machine itself, whatever went wrong on the way here.
	if !throwaway() {
		return nil, fmt.Errorf("not in the throwaway namespaces")
	}
	if err := attacks[r.N].do(r.T); err != nil {
		return []byte("."), nil
	}
	return []byte("X"), nil
}

// throwaway reports whether the process descends from containmentInner, which
// alone sets this variable and alone sends attacks.
func throwaway() bool { return os.Getenv("CLOISTER_THROWAWAY") == "1" }

// columns are the layer sets of the table.
var columns = []struct {
	name   string
	layers layer
}{
	{"none", layerNone},
	{"ns", layerNamespaces},
	{"landlock", layerLandlock},
	{"seccomp", layerSeccomp},
	{"ns+pivot", layerNamespaces | layerPivot},
	{"confined", TierConfined.layers()},
	{"namespaced", TierNamespaced.layers()},
}

// documented is what the layers stop: X is an attack that succeeds, a dot one
// that is blocked, and x one that succeeds unless the host is set to refuse it
// to everybody (yama, disabled io_uring, no vsock, a container's own filter).
// A layer that blocks more than this is news as well as one that blocks less.
//
// The filter alone stops nearly all, because it opens nothing; the other layers
// are what is left when it has a hole.
const documented = `
# attack                     none ns landlock seccomp ns+pivot confined namespaced
read a foreign file             X  X        .       .        .        .          .
write a foreign file            X  X        .       .        .        .          .
stat a foreign file             X  X        X       .        .        .          .
read the parent's environ       x  .        .       .        .        .          .
list the root                   X  X        .       .        .        .          .
TCP connect                     X  .        .       .        .        .          .
UDP send                        X  .        X       .        .        .          .
abstract unix socket            X  .        .       .        .        .          .
pathname unix socket            X  X        X       .        .        .          .
vsock socket                    x  x        x       .        x        .          .
netlink socket                  X  X        X       .        X        .          .
exec a path                     X  X        .       .        .        .          .
exec from a memfd               X  X        X       .        X        .          .
memory made executable          X  X        X       .        X        .          .
fork                            X  X        X       .        X        .          .
ptrace the parent               x  .        .       .        .        .          .
read the parent's memory        x  .        .       .        .        .          .
signal the parent               X  .        .       .        .        .          .
io_uring                        x  x        x       .        x        .          .
keyctl                          x  x        x       .        x        .          .
new user namespace              x  x        x       .        x        .          .
mount                           .  X        .       .        X        .          .
`

// TestContainment runs every attack in a worker of every layer set, as a user
// that is not root, inside namespaces that are thrown away.
func TestContainment(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := os.StartProcess("/proc/self/exe", []string{"x", "containment-outer"}, &os.ProcAttr{
		Dir: "/", Env: []string{"PATH=/bin:/usr/bin"}, Files: []*os.File{nil, w, os.Stderr}, Sys: ownNamespaces()})
	w.Close()
	if err != nil {
		t.Skipf("no attack is run without throwaway namespaces: %v", err)
	}
	var out bytes.Buffer
	_, _ = out.ReadFrom(r)
	s, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	switch s.ExitCode() {
	case 0:
	case 77:
		t.Skipf("no attack is run without throwaway namespaces: %s", out.String())
	default:
		t.Fatalf("exit status %d:\n%s", s.ExitCode(), out.String())
	}
	t.Logf("X succeeded, . blocked\n%s", out.String())
	got, want := table(out.String()), table(documented)
	if len(got) != len(want) {
		t.Errorf("%d rows, documented are %d", len(got), len(want))
	}
	for name, cells := range want {
		for i, w := range cells {
			var g byte
			if i < len(got[name]) {
				g = got[name][i]
			}
			switch {
			case g == byte(w), w == 'x' && (g == 'X' || g == '.'), g == '-' && i == len(columns)-1 && builtWithCgo():
			default:
				t.Errorf("%s under %s: documented %c, found %c", name, columns[i].name, w, g)
			}
		}
	}
}

// table returns the cells of each row by attack.
func table(s string) map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if n := len(f) - len(columns); n > 0 && f[0] != "#" {
			rows[strings.Join(f[:n], " ")] = strings.Join(f[n:], "")
		}
	}
	return rows
}

// builtWithCgo reports whether this is a build that cannot give the namespaced
// tier.
func builtWithCgo() bool {
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0)
	return e == syscall.ENOTSUP
}

// containmentOuter is root in its own namespaces only. It gives the inner
// process a /proc and a /tmp of its own and then a further user namespace in
// which it is nobody's root.
func containmentOuter() int {
	fail := func(what string, err error) int {
		fmt.Println(what, err)
		return 1
	}
	refused := func(what string, err error) int {
		fail(what, err)
		return 77
	}
	if os.Getpid() != 1 {
		return fail("not in an own pid namespace", nil)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return refused("private mounts", err)
	}
	// Loopback is down in a new network namespace, and TCP must have a fair chance.
	if err := loopbackUp(); err != nil {
		return refused("loopback", err)
	}
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return fail("own binary", err)
	}
	if err := unix.Mount("none", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64m,mode=1777"); err != nil {
		return refused("own /tmp", err)
	}
	// The test binary may stand where the inner user cannot go.
	bin, err := os.OpenFile("/tmp/worker", os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return fail("copy of the binary", err)
	}
	if _, err := bin.ReadFrom(exe); err != nil {
		return fail("copy of the binary", err)
	}
	bin.Close()
	exe.Close()
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return refused("own /proc", err)
	}
	p, err := os.StartProcess("/tmp/worker", []string{"x", "containment-inner"}, &os.ProcAttr{
		Dir: "/", Env: []string{"CLOISTER_THROWAWAY=1", "CLOISTER_TOKEN=token-0123"}, Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}},
		}})
	if err != nil {
		return refused("inner user namespace", err)
	}
	for {
		var st unix.WaitStatus
		pid, err := unix.Wait4(-1, &st, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fail("wait", err)
		}
		if pid == p.Pid {
			return st.ExitStatus()
		}
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// containmentInner is an unprivileged parent: it makes the targets and sends
// every attack to a worker of every layer set.
func containmentInner() int {
	quit := func(what string, err error) int {
		fmt.Println(what, err)
		return 1
	}
	if os.Geteuid() == 0 {
		return quit("refusing to attack as root", nil)
	}
	o, err := Observe(os.Getpid())
	if err != nil || o.CapEff != 0 {
		return quit("refusing to attack with capabilities", err)
	}
	dir := "/tmp/target"
	t := target{
		Parent: os.Getpid(), Token: "token-0123",
		Secret: filepath.Join(dir, "secret"), Victim: filepath.Join(dir, "victim"),
		Program: "/tmp/target/program", Socket: filepath.Join(dir, "socket"), Abstract: "@cloister-containment",
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return quit("targets", err)
	}
	for path, text := range map[string]string{t.Secret: t.Token, t.Victim: "", t.Program: "#!/bin/true\n"} {
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			return quit("targets", err)
		}
	}
	var listeners []net.Listener // kept, or the collector closes them
	for _, a := range []string{t.Socket, t.Abstract} {
		l, err := net.Listen("unix", a)
		if err != nil {
			return quit("targets", err)
		}
		listeners = append(listeners, l)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return quit("targets", err)
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return quit("targets", err)
	}
	t.TCP, t.UDP = l.Addr().String(), u.LocalAddr().String()
	token := []byte(t.Token)
	t.Address = reflect.ValueOf(token).Pointer()
	defer func() {
		runtime.KeepAlive(token)
		runtime.KeepAlive(append(listeners, l))
		runtime.KeepAlive(u)
	}()

	fmt.Printf("# %-26s", "attack")
	for _, c := range columns {
		fmt.Print(" ", c.name)
	}
	fmt.Println()
	for n, a := range attacks {
		fmt.Printf("%-28s", a.name)
		for _, col := range columns {
			c := Config{MinTier: TierProcess, Command: workerCommand, Deadline: 10 * time.Second, Env: []string{"CLOISTER_THROWAWAY=1", "GORACE=atexit_sleep_ms=0"}, layers: col.layers}
			if err := c.check(); err != nil {
				return quit("config", err)
			}
			w, err := spawn(&c, TierProcess)
			if err != nil && col.layers&layerPivot != 0 && col.layers&layerCaps != 0 && builtWithCgo() {
				fmt.Printf("%*s", len(col.name)+1, "-")
				continue
			}
			if err != nil {
				return quit(col.name, err)
			}
			req, err := json.Marshal(map[string]any{"N": n, "T": t})
			if err != nil {
				return quit("request", err)
			}
			r, err := w.run(context.Background(), Job{Kind: "attack", Request: req, Deadline: 10 * time.Second}, 1<<20)
			w.kill()
			if err != nil {
				fmt.Println("\n", a.name, col.name, diag(err))
				return 1
			}
			fmt.Printf("%*s", len(col.name)+1, r.Reply)
		}
		fmt.Println()
	}
	return 0
}
