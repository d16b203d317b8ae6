package gpuinfer

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// Config of a pool.
type Config struct {
	// Partitions are disjoint sets of cores; the pool has one slot for each.
	// Required; see [Inventory].
	Partitions []Partition
	// Command starts a slot's process, whose main calls [ServeSlot] on
	// descriptor 3. Required.
	Command []string
	// Source hands out sealed snapshots. Required.
	Source Source
	// Wait is how long Acquire waits for a slot to be free; zero means 2 s.
	// The start of a process on it takes as long as it takes, up to a minute.
	Wait time.Duration
	// Attr is how a slot's process is started, for namespaces and another user;
	// nil means as this process. The pool adds that a slot ends with it.
	Attr *syscall.SysProcAttr
	// Attest looks at a slot from outside once it says that it is confined and
	// before it is asked anything; an error ends the slot. Nil means that the
	// slot is believed.
	Attest func(pid int) error
	// Stderr gets what slots write, from several goroutines; nil discards it.
	Stderr io.Writer
}

// binding is what one generation of a slot serves, for all its life.
type binding struct {
	customization tenant.CustomizationID
	snapshot      tenant.SnapshotID
	manifest      [32]byte
}

// Pool owns the slots.
type Pool struct {
	c    Config
	stop context.CancelFunc
	life context.Context // ends with Close
	work sync.WaitGroup  // what starts and ends processes

	cond   *sync.Cond
	mu     sync.Mutex
	slots  []*slot
	closed bool
	gen    int
}

// slot is a partition and the process on it, if any. A slot without a process
// is absent; one with leases is leased to its binding; there is no way from
// one binding to another but through a new process.
type slot struct {
	cpus []int
	b    binding
	proc *process // nil: absent
	used time.Time
	busy bool // being started or ended, outside the lock
}

// NewPool refuses missing parts and overlapping partitions.
func NewPool(c Config) (*Pool, error) {
	if len(c.Partitions) == 0 || len(c.Command) == 0 || c.Command[0] == "" || c.Source == nil {
		return nil, ErrConfig
	}
	if c.Wait <= 0 {
		c.Wait = 2 * time.Second
	}
	c.Command = slices.Clone(c.Command)
	p := &Pool{c: c}
	p.cond = sync.NewCond(&p.mu)
	seen := map[int]bool{}
	for _, part := range c.Partitions {
		for _, cpu := range part.CPUs {
			if cpu < 0 || seen[cpu] {
				return nil, fmt.Errorf("%w: core %d is none, or is named twice", ErrConfig, cpu)
			}
			seen[cpu] = true
		}
		p.slots = append(p.slots, &slot{cpus: slices.Clone(part.CPUs)})
	}
	p.life, p.stop = context.WithCancel(context.Background())
	return p, nil
}

// Acquire leases the slot that is warm for the session's snapshot, or starts a
// process for it on a free slot, ending the least recently used one. It returns
// when ctx ends, with an error that wraps ErrBusy and ctx's; a process that was
// being started then goes on, for the next call.
func (p *Pool) Acquire(ctx context.Context, s *fas.Session) (*Lease, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	if !s.Allows(fas.VerbComplete) {
		return nil, fas.ErrVerb
	}
	b := binding{s.Customization(), s.Snapshot(), s.Manifest()}
	if b.customization.IsZero() || b.snapshot.IsZero() {
		return nil, ErrConfig
	}
	wait, cancel := context.WithTimeout(ctx, p.c.Wait)
	defer cancel()
	defer context.AfterFunc(wait, p.wake)()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.closed {
			return nil, ErrStaleLease
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		}
		if sl := p.warm(b); sl != nil {
			sl.proc.users++
			sl.used = time.Now()
			return &Lease{p: p, proc: sl.proc, ses: s}, nil
		}
		if !p.starting(b) {
			if sl := p.free(); sl != nil {
				return p.replace(ctx, sl, b, s)
			}
		}
		if wait.Err() != nil {
			return nil, ErrBusy
		}
		p.cond.Wait()
	}
}

func (p *Pool) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cond.Broadcast()
}

func (p *Pool) warm(b binding) *slot {
	for _, s := range p.slots {
		if !s.busy && s.proc != nil && !s.proc.dead.Load() && s.b == b {
			return s
		}
	}
	return nil
}

func (p *Pool) starting(b binding) bool {
	for _, s := range p.slots {
		if s.busy && s.b == b {
			return true
		}
	}
	return false
}

// free finds a slot without leases: an absent or dead one, whose leases are
// stale, or the least recently used.
func (p *Pool) free() *slot {
	var best *slot
	for _, s := range p.slots {
		switch {
		case s.busy:
		case s.proc == nil || s.proc.dead.Load():
			return s
		case s.proc.users == 0 && (best == nil || s.used.Before(best.used)):
			best = s
		}
	}
	return best
}

// attempt is the start of a process for a call that waits for it, or has left.
type attempt struct {
	ready chan struct{}
	left  bool
	proc  *process
	err   error
}

// replace ends a slot's process and starts the next generation, with the lock
// released meanwhile.
func (p *Pool) replace(ctx context.Context, s *slot, b binding, ses *fas.Session) (*Lease, error) {
	old := s.proc
	s.busy, s.proc, s.b = true, nil, b
	p.gen++
	gen, a := p.gen, &attempt{ready: make(chan struct{})}
	p.work.Go(func() {
		if old != nil {
			old.end()
		}
		proc, err := p.start(p.life, s.cpus, gen, ses)
		p.settle(s, a, proc, err)
	})
	p.mu.Unlock()
	select {
	case <-a.ready:
	case <-ctx.Done():
	}
	p.mu.Lock()
	select {
	case <-a.ready:
		if a.err != nil {
			return nil, a.err
		}
		return &Lease{p: p, proc: a.proc, ses: ses}, nil
	default:
		a.left = true
		return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
}

// settle puts a started process, or nil, on its slot.
func (p *Pool) settle(s *slot, a *attempt, proc *process, err error) {
	p.mu.Lock()
	closed := p.closed
	if closed && proc != nil {
		p.mu.Unlock()
		proc.end()
		p.mu.Lock()
	}
	if closed {
		proc, err = nil, ErrStaleLease
	}
	if proc != nil && !a.left {
		proc.users = 1
	}
	s.busy, s.proc, s.used = false, proc, time.Now()
	a.proc, a.err = proc, err
	close(a.ready)
	p.cond.Broadcast()
	p.mu.Unlock()
}

// Close ends all slots, and returns when no process is left. Leases become
// stale.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.stop()
	for _, s := range p.slots {
		if s.proc != nil {
			p.work.Go(s.proc.end)
			s.proc = nil
		}
	}
	p.cond.Broadcast()
	p.mu.Unlock()
	p.work.Wait()
	return nil
}

// Slots describes the running slots.
func (p *Pool) Slots() (out []SlotInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots {
		if s.proc != nil {
			out = append(out, s.proc.info())
		}
	}
	return out
}
