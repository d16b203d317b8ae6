package sandbox

import (
	"fmt"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// allowed are the calls that need no look at their arguments. The list is what
// Go's runtime, connected sockets and open files need; a name that is missing
// costs EPERM, a name too many costs the sandbox.
var allowed = []string{
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev",
	"close", "fstat", "lseek", "fsync", "fdatasync", "ftruncate", "fallocate",
	"sync_file_range", "fadvise64", "dup", "dup3", "pipe2",
	"sendfile", "splice", "copy_file_range",
	"recvmsg", "recvfrom", "getsockopt", "getsockname", "getpeername", "shutdown",
	"epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "ppoll",
	"munmap", "mremap", "madvise", "mincore", "brk",
	"futex", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday",
	"sched_yield", "sched_getaffinity", "getcpu",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
	"getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrusage",
	"getrandom", "exit", "exit_group", "set_robust_list", "rseq",
}

func arg(n uint32, op seccomp.Operation, v uint64) seccomp.Condition {
	return seccomp.Condition{Argument: n, Operation: op, Value: v}
}

func rule(name string, cs ...seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: cs}
}

// conditional are the calls allowed only with harmless arguments. pid is the
// process's own ID.
func conditional(pid int) []seccomp.NameWithConditions {
	rs := []seccomp.NameWithConditions{
		// A thread of this process, never a new process.
		rule("clone", arg(0, seccomp.BitsSet, unix.CLONE_THREAD)),
		// No memory becomes code.
		rule("mmap", arg(2, seccomp.BitsNotSet, unix.PROT_EXEC)),
		rule("mprotect", arg(2, seccomp.BitsNotSet, unix.PROT_EXEC)),
		// The runtime names its mappings.
		rule("prctl", arg(0, seccomp.Equal, unix.PR_SET_VMA)),
		// The runtime preempts its own threads; nobody else gets a signal.
		rule("tgkill", arg(0, seccomp.Equal, uint64(pid))),
		// No destination address, and no connect by way of TCP fast open.
		rule("sendto", arg(4, seccomp.Equal, 0), arg(3, seccomp.BitsNotSet, unix.MSG_FASTOPEN)),
		rule("sendmsg", arg(2, seccomp.BitsNotSet, unix.MSG_FASTOPEN)),
	}
	// F_SETOWN and its kin could direct signals at other processes.
	for _, cmd := range []uint64{unix.F_DUPFD, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_DUPFD_CLOEXEC} {
		rs = append(rs, rule("fcntl", arg(1, seccomp.Equal, cmd)))
	}
	for _, o := range []uint64{unix.SO_KEEPALIVE, unix.SO_RCVBUF, unix.SO_SNDBUF, unix.SO_LINGER} {
		rs = append(rs, rule("setsockopt", arg(1, seccomp.Equal, unix.SOL_SOCKET), arg(2, seccomp.Equal, o)))
	}
	for _, o := range []uint64{unix.TCP_NODELAY, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT, unix.TCP_USER_TIMEOUT} {
		rs = append(rs, rule("setsockopt", arg(1, seccomp.Equal, unix.IPPROTO_TCP), arg(2, seccomp.Equal, o)))
	}
	return rs
}

func loadSeccomp(pid int) error {
	err := seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				{Names: allowed, NamesWithCondtions: conditional(pid), Action: seccomp.ActionAllow},
				// The C library falls back from clone3 to clone, whose flags a
				// filter can read, only when told that there is no clone3.
				{Names: []string{"clone3"}, Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)},
			},
		},
	})
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}
