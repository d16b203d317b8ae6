//go:build unix

package fas

import (
	"net"
	"os"
	"syscall"
)

func readMsg(c *net.UnixConn, b, oob []byte, fds *[]int) (n, m int, err error) {
	n, m, _, _, err = c.ReadMsgUnix(b, oob)
	if err != nil || m == 0 {
		return n, m, err
	}
	msgs, err := syscall.ParseSocketControlMessage(oob[:m])
	if err != nil {
		return n, m, err
	}
	for i := range msgs {
		got, err := syscall.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range got {
			syscall.CloseOnExec(fd)
			*fds = append(*fds, fd)
		}
	}
	return n, m, nil
}

func pair() (a, b *os.File, err error) {
	// The lock keeps a fork elsewhere from inheriting the pair before it is
	// marked.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	return os.NewFile(uintptr(fds[0]), "fas"), os.NewFile(uintptr(fds[1]), "fas"), nil
}

func rights(f *os.File) []byte { return syscall.UnixRights(int(f.Fd())) }

func closeFD(fd int) { _ = syscall.Close(fd) }

// ours reports whether a file belongs to this user, or to root.
func ours(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Getuid())
}
