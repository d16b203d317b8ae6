package sandbox

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

type limits struct {
	openFiles, fileSize uint64
}

// apply takes the given layers in the order that works: what needs names
// before Landlock, what needs system calls before seccomp.
func apply(l layer, lim limits) error {
	// The first use of local time reads a file, which later cannot be opened.
	_ = time.Now().Local().String()
	if l&layerPivot != 0 {
		if err := emptyRoot(); err != nil {
			return err
		}
	}
	if l&layerLimits != 0 {
		for _, r := range []struct {
			name     string
			resource int
			max      uint64
		}{
			{"core", unix.RLIMIT_CORE, 0},
			{"open files", unix.RLIMIT_NOFILE, lim.openFiles},
			{"file size", unix.RLIMIT_FSIZE, lim.fileSize},
			{"locked memory", unix.RLIMIT_MEMLOCK, 0},
		} {
			if err := lower(r.resource, r.max); err != nil {
				return fmt.Errorf("limit of %s: %w", r.name, err)
			}
		}
	}
	if l&layerCaps != 0 {
		if err := dropCaps(); err != nil {
			return err
		}
	}
	if l&layerLandlock != 0 {
		if err := landlock.V7.Restrict(); err != nil {
			return fmt.Errorf("landlock: %w", err)
		}
	}
	if l&layerDumpable != 0 {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return fmt.Errorf("dumpable: %w", err)
		}
	}
	if l&layerSeccomp != 0 {
		return loadSeccomp(os.Getpid())
	}
	return nil
}

func lower(resource int, limit uint64) error {
	var have unix.Rlimit
	if err := unix.Getrlimit(resource, &have); err != nil {
		return err
	}
	limit = min(limit, have.Max)
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit})
}

// emptyRoot makes an empty, read-only tmpfs the root directory.
func emptyRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	// /proc is the one directory known to exist: the worker was started from it.
	if err := unix.Mount("none", "/proc", "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555"); err != nil {
		return fmt.Errorf("empty root: %w", err)
	}
	if err := unix.Chdir("/proc"); err != nil {
		return fmt.Errorf("empty root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("leave old root: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|flags, ""); err != nil {
		return fmt.Errorf("read-only root: %w", err)
	}
	return nil
}

var errCgo = errors.New("capabilities cannot be dropped on all threads in a binary built with cgo; build with CGO_ENABLED=0")

// dropCaps empties the capability sets of every thread.
func dropCaps() error {
	hdr := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(hdr, &have[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if have == ([2]unix.CapUserData{}) {
		return nil
	}
	none := new([2]unix.CapUserData)
	// reflect gives the addresses without package unsafe; both objects are kept
	// alive by their use below, and the collector does not move objects.
	h, d := reflect.ValueOf(hdr).Pointer(), reflect.ValueOf(none).Pointer()
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, h, d, 0)
	keepHeader, keepData = hdr, none
	if e == syscall.ENOTSUP {
		return errCgo
	}
	if e != 0 {
		return fmt.Errorf("capabilities: %w", e)
	}
	return nil
}

// They force the arguments of capset onto the heap for the length of the call.
var (
	//lint:ignore U1000 written so that the value escapes
	keepHeader *unix.CapUserHeader
	//lint:ignore U1000 written so that the value escapes
	keepData *[2]unix.CapUserData
)

// Confine gives the running process, all its threads, the confinement of a
// tier: it can open, connect, execute and fork nothing from then on, and works
// on with the files and connected sockets it holds. There is no way back. It is
// for long-lived engine processes that were started by their parent for one
// tenant; call it after the last file is open.
//
// For [TierConfined] it promises nothing about capabilities: it drops them
// where the build allows it (without cgo), a process started with [Attr] has
// none, and the allow-list leaves no call for which they matter. For
// [TierNamespaced] it drops them or refuses. Errors wrap [ErrTier]; after one
// the process is in an unknown, more restricted state and should end.
func Confine(p Profile) error {
	if p.Tier == 0 {
		p.Tier = TierConfined
	}
	if p.Tier < TierConfined || p.Tier > TierNamespaced {
		return fmt.Errorf("%w: %v cannot be put on", ErrTier, p.Tier)
	}
	if p.OpenFiles == 0 {
		p.OpenFiles = 256
	}
	if p.Tier == TierNamespaced && !bornNamespaced() {
		return fmt.Errorf("%w: not started with the attributes of the namespaced tier", ErrTier)
	}
	l := p.Tier.layers() &^ layerNamespaces // which a process is born with
	if p.Tier == TierConfined {
		if err := dropCaps(); err != nil && !errors.Is(err, errCgo) {
			return fmt.Errorf("%w: %w", ErrTier, err)
		}
		l &^= layerCaps
	}
	if err := apply(l, limits{p.OpenFiles, p.FileSize}); err != nil {
		return fmt.Errorf("%w: %w", ErrTier, err)
	}
	return nil
}

// bornNamespaced reports whether this process is the first one of its own
// namespaces, as [Attr] makes it. An empty root must never be put in the place
// of a root directory that others see.
func bornNamespaced() bool {
	m, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(m))
	return err == nil && os.Getpid() == 1 && len(f) == 3 && f[0] == "0" && f[2] == "1"
}

// closeInherited closes what leaked through exec. A descriptor without the
// close-on-exec flag was inherited; those this process opened itself, the
// runtime's among them, have the flag.
func closeInherited(keep int) error {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range d {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= keep {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			if err := unix.Close(fd); err != nil {
				return err
			}
		}
	}
	return nil
}
