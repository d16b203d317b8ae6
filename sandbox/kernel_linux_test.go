package sandbox

import (
	"fmt"
	"os"
	osexec "os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// needTier skips where the kernel or the build has no such tier. Probe is under
// test itself: that it finds none is no reason where the kernel says otherwise.
func needTier(t *testing.T, tier Tier) {
	t.Helper()
	best, why := Probe(workerCommand...)
	if best >= tier {
		return
	}
	if lack := lacks(tier); lack != nil {
		t.Skipf("no tier %v here: %v; %v", tier, lack, why)
	}
	t.Fatalf("the kernel has what tier %v takes, and yet: %v", tier, why)
}

// lacks asks the kernel, from a process as a worker's would be, what it refuses
// of a tier.
func lacks(tier Tier) error {
	if tier == TierProcess {
		return nil
	}
	cmd := osexec.Command("/proc/self/exe", "sandbox-kernel", tier.String())
	switch {
	case tier == TierNamespaced && builtWithCgo():
		return errCgo
	case tier == TierNamespaced:
		cmd.SysProcAttr = ownNamespaces()
	case os.Geteuid() == 0:
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s%w", out, err)
	}
	return nil
}

// ownNamespaces are the attributes of a process that is root in its own
// namespaces, and nobody outside where it can be. With the package's own, a fault in those would
// look like a machine without namespaces.
func ownNamespaces() *syscall.SysProcAttr {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 && hasUser(nobody) {
		uid, gid = nobody, nobody
	}
	return &syscall.SysProcAttr{
		Pdeathsig:   syscall.SIGKILL,
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Credential:  &syscall.Credential{NoSetGroups: true},
		UidMappings: []syscall.SysProcIDMap{{HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: gid, Size: 1}},
	}
}

func kernelChild(tier string) int {
	refused := func(what string, err error) int {
		fmt.Print(what, ": ", err, ": ")
		return 1
	}
	// Version 6 is the first with all that the package restricts.
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 || abi < 6 {
		return refused(fmt.Sprint("landlock version ", int(abi)), errno(e))
	}
	// A kernel that would take a filter faults on none.
	if _, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, 0); e != unix.EFAULT {
		return refused("seccomp", errno(e))
	}
	if tier != TierNamespaced.String() {
		return 0
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return refused("private mounts", err)
	}
	if err := unix.Mount("none", "/proc", "tmpfs", 0, "size=4k"); err != nil {
		return refused("tmpfs", err)
	}
	if err := unix.Chdir("/proc"); err != nil {
		return refused("chdir", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return refused("pivot", err)
	}
	return 0
}
