//go:build !unix

package localkms

import "errors"

// lockFile refuses: without a lock a change of another process could be lost.
func lockFile(string) (unlock func(), err error) { return nil, errors.ErrUnsupported }
