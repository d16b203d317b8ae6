//go:build !linux

package fas

import "net"

// checkPeer has no portable form; elsewhere a connection is trusted for how it
// was made, by socketpair.
func checkPeer(*net.UnixConn) error { return nil }
