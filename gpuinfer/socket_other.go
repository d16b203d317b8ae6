//go:build !unix

package gpuinfer

import (
	"errors"
	"os"
)

func socketPair() (a, b *os.File, err error) { return nil, nil, errors.ErrUnsupported }
