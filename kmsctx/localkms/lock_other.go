//go:build !unix

package localkms

import "errors"

// lockDir refuses: without a lock a change of another process could be lost.
func lockDir(string) (unlock func(), err error) { return nil, errors.ErrUnsupported }
