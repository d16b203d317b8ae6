//go:build !linux

package fas

import (
	"errors"
	"net"
)

// peerCred has no portable form; elsewhere a connection is trusted for how it
// was made, by socketpair, and a path cannot be listened on.
func peerCred(*net.UnixConn) (ucred, error) { return ucred{}, nil }

func executable(*net.UnixConn, ucred) (string, error) { return "", errors.ErrUnsupported }
