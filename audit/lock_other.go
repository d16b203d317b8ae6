//go:build !unix

package audit

import (
	"errors"
	"os"
)

// lockDir cannot tell a live writer from a dead one on this system, so two
// writers are not detected here; run one.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(ErrLocked, err)
	}
	return f, nil
}
