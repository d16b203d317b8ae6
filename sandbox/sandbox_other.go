//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// Pool keeps confined, unused workers. On this platform none can be made.
type Pool struct{}

func unsupported() error {
	return fmt.Errorf("%w: workers need Linux, this is %s", ErrTier, runtime.GOOS)
}

// NewPool refuses on this platform with [ErrTier].
func NewPool(c Config) (*Pool, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return nil, unsupported()
}

// Tier returns zero on this platform.
func (*Pool) Tier() Tier { return 0 }

// Run refuses on this platform with [ErrTier].
func (*Pool) Run(context.Context, Job) (Result, error) { return Result{}, unsupported() }

// Close does nothing on this platform.
func (*Pool) Close() error { return nil }

// WorkerMain ends the process with status 2 on this platform.
func WorkerMain(map[string]Handler) { os.Exit(2) }

// Progress refuses on this platform.
func Progress(context.Context, []byte) error { return errors.ErrUnsupported }

// Observe refuses on this platform with [ErrTier].
func Observe(int) (Observation, error) { return Observation{}, unsupported() }

// Tier returns TierProcess on this platform.
func (Observation) Tier() Tier { return TierProcess }

// Attr returns nil on this platform.
func Attr(Tier) *syscall.SysProcAttr { return nil }

// Confine refuses on this platform with [ErrTier].
func Confine(Profile) error { return unsupported() }

// Probe returns TierProcess, and why there is no better one.
func Probe(...string) (Tier, error) { return TierProcess, unsupported() }
