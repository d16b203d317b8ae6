//go:build !unix

package firewalld

import "sync"

var oneProcess sync.Mutex

// lockFile excludes others of this process only; the firewall does not run on
// this platform.
func lockFile(string) (unlock func(), err error) {
	oneProcess.Lock()
	return oneProcess.Unlock, nil
}
