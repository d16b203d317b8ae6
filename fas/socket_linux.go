package fas

import (
	"net"
	"os"
	"strconv"
	"syscall"
)

// peerCred asks the kernel who made the other end of a socket, which no peer
// can forge.
func peerCred(c *net.UnixConn) (ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return ucred{}, err
	}
	var cred *syscall.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return ucred{}, err
	}
	if cerr != nil {
		return ucred{}, cerr
	}
	return ucred{known: true, pid: int(cred.Pid), uid: cred.Uid, gid: cred.Gid}, nil
}

// soPeerPIDFD is SO_PEERPIDFD of Linux 6.5, socket(7).
const soPeerPIDFD = 77

// executable is the file that the process at the other end runs now. A number
// of a process can be given to another one in the meantime: the descriptor of
// the process, where the kernel has one, shows that it still lived when its
// file was read.
func executable(c *net.UnixConn, cred ucred) (string, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return "", err
	}
	fd := -1
	var perr error
	if err := raw.Control(func(s uintptr) {
		fd, perr = syscall.GetsockoptInt(int(s), syscall.SOL_SOCKET, soPeerPIDFD)
	}); err != nil {
		return "", err
	}
	path, err := os.Readlink("/proc/" + strconv.Itoa(cred.pid) + "/exe")
	if perr == nil {
		defer syscall.Close(fd)
		// Signal 0 through the descriptor finds out whether the process is there
		// still; whether it could be signalled does not matter.
		if _, _, errno := syscall.Syscall6(sysPidfdSendSignal, uintptr(fd), 0, 0, 0, 0, 0); errno != 0 && errno != syscall.EPERM {
			return "", errno
		}
	}
	return path, err
}

// sysPidfdSendSignal is pidfd_send_signal(2), the same number everywhere.
const sysPidfdSendSignal = 424
