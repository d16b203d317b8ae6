package front

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/sandbox"
)

// newSlots makes the pool of engine slots, at the tier at which workers run:
// that one was seen to work here.
func (f *Front) newSlots() (*gpuinfer.Pool, error) {
	parts, err := gpuinfer.Inventory()
	if err != nil {
		return nil, err
	}
	tier := f.workers.Tier()
	return gpuinfer.NewPool(gpuinfer.Config{Partitions: parts, Command: append(slices.Clone(f.cfg.Slot), tier.String()), Source: f,
		Attr: sandbox.Attr(tier), Attest: func(pid int) error { return atLeast(pid, tier) }, Stderr: f.cfg.Log})
}

// atLeast asks the kernel for the tier of a process.
func atLeast(pid int, want sandbox.Tier) error {
	if want == sandbox.TierProcess {
		return nil
	}
	o, err := sandbox.Observe(pid)
	if err != nil {
		return err
	}
	if got := o.Tier(); got < want {
		return fmt.Errorf("%w: a slot is %v, not %v", sandbox.ErrAttestation, got, want)
	}
	return nil
}

// Snapshot hands a slot the sealed file of the session's snapshot, and no
// other: the path is made from the session's own IDs.
func (f *Front) Snapshot(_ context.Context, s *fas.Session) (*os.File, error) {
	b, err := retrieval.BindingOf(s)
	if err != nil {
		return nil, err
	}
	return os.Open(f.collections.Path(b))
}
