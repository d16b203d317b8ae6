//go:build linux

package sandbox

import (
	"context"
	"os"
)

func attackHandler(context.Context, []byte, []*os.File) ([]byte, error) { return nil, nil }
func containmentOuter() int                                             { return 0 }
func containmentInner() int                                             { return 0 }
