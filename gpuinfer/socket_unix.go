//go:build unix

package gpuinfer

import (
	"os"
	"syscall"
)

func socketPair() (a, b *os.File, err error) {
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
	return os.NewFile(uintptr(fds[0]), "slot"), os.NewFile(uintptr(fds[1]), "slot"), nil
}
