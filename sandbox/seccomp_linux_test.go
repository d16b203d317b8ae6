package sandbox

import (
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
)

func TestAllowListNames(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range allowed {
		if seen[n] {
			t.Errorf("%s twice", n)
		}
		seen[n] = true
	}
	for _, n := range []string{"clone3"} {
		seen[n] = true
	}
	for _, r := range conditional(1) {
		seen[r.Name] = true
	}
	for n := range seen {
		for _, a := range []*arch.Info{arch.X86_64, arch.AARCH64} {
			if _, ok := a.SyscallNames[n]; !ok {
				t.Errorf("%s does not exist on %s", n, a.Name)
			}
		}
	}
	for _, n := range []string{"open", "openat", "openat2", "socket", "socketpair", "connect", "bind", "listen", "accept4",
		"execve", "execveat", "fork", "vfork", "unshare", "setns", "memfd_create", "memfd_secret", "userfaultfd", "io_uring_setup", "io_uring_enter",
		"ptrace", "process_vm_readv", "process_vm_writev", "kill", "tkill", "pidfd_open", "pidfd_getfd", "keyctl", "add_key", "request_key",
		"bpf", "perf_event_open", "mount", "pivot_root", "chroot", "open_by_handle_at", "name_to_handle_at", "newfstatat", "statx", "ioctl",
		"sendmmsg", "shmat", "shmget", "mq_open", "setuid", "capset", "seccomp", "prlimit64", "getdents64", "pkey_mprotect", "personality"} {
		if seen[n] {
			t.Errorf("%s is allowed", n)
		}
	}
}
