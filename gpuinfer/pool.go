package gpuinfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"os/exec"
	"sync"
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
	// Wait is how long Acquire waits for a slot; zero means 2 s.
	Wait time.Duration
	// Stderr gets what slots write; nil discards it.
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
	c      Config
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
	cpus  []int
	b     binding
	proc  *process // nil: absent
	users int
	used  time.Time
	busy  bool // being started or ended, outside the lock
}

type process struct {
	cmd  *exec.Cmd
	conn net.Conn
	gen  int
	pin  bool
	mu   sync.Mutex // one completion at a time
	dead bool
}

// NewPool refuses missing parts and overlapping partitions.
func NewPool(c Config) (*Pool, error) {
	if len(c.Partitions) == 0 || len(c.Command) == 0 || c.Source == nil {
		return nil, ErrConfig
	}
	if c.Wait <= 0 {
		c.Wait = 2 * time.Second
	}
	p := &Pool{c: c}
	p.cond = sync.NewCond(&p.mu)
	seen := map[int]bool{}
	for _, part := range c.Partitions {
		for _, cpu := range part.CPUs {
			if seen[cpu] {
				return nil, fmt.Errorf("%w: core %d is in two partitions", ErrConfig, cpu)
			}
			seen[cpu] = true
		}
		p.slots = append(p.slots, &slot{cpus: part.CPUs})
	}
	return p, nil
}

// Lease is the use of a slot for one session.
type Lease struct {
	p    *Pool
	s    *slot
	proc *process
	ses  *fas.Session
	once sync.Once
	mu   sync.Mutex
	over bool
}

// Acquire leases the slot that is warm for the session's snapshot, or starts a
// process for it on a free slot, ending the least recently used one.
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
	ctx, cancel := context.WithTimeout(ctx, p.c.Wait)
	defer cancel()
	wake := context.AfterFunc(ctx, func() { p.mu.Lock(); p.cond.Broadcast(); p.mu.Unlock() })
	defer wake()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.closed {
			return nil, ErrStaleLease
		}
		if sl := p.warm(b); sl != nil {
			sl.users++
			sl.used = time.Now()
			return &Lease{p: p, s: sl, proc: sl.proc, ses: s}, nil
		}
		if !p.starting(b) {
			if sl := p.free(); sl != nil {
				if err := p.replace(ctx, sl, b, s); err != nil {
					return nil, err
				}
				continue
			}
		}
		if ctx.Err() != nil {
			return nil, ErrBusy
		}
		p.cond.Wait()
	}
}

func (p *Pool) warm(b binding) *slot {
	for _, s := range p.slots {
		if !s.busy && s.proc != nil && !s.proc.gone() && s.b == b {
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

// free finds a slot without leases: an absent or dead one, or the least
// recently used.
func (p *Pool) free() *slot {
	var best *slot
	for _, s := range p.slots {
		if s.busy || s.users > 0 {
			continue
		}
		if s.proc == nil || s.proc.gone() {
			return s
		}
		if best == nil || s.used.Before(best.used) {
			best = s
		}
	}
	return best
}

// replace ends a slot's process and starts the next generation, with the lock
// released meanwhile.
func (p *Pool) replace(ctx context.Context, s *slot, b binding, ses *fas.Session) error {
	old := s.proc
	s.busy, s.proc, s.b = true, nil, b
	p.gen++
	gen := p.gen
	p.mu.Unlock()
	if old != nil {
		old.end()
	}
	proc, err := p.start(ctx, s.cpus, gen, ses)
	p.mu.Lock()
	s.busy, s.proc, s.used = false, proc, time.Now()
	if err == nil && p.closed {
		s.proc = nil
		go proc.end()
		err = ErrStaleLease
	}
	p.cond.Broadcast()
	return err
}

func (p *Pool) start(ctx context.Context, cpus []int, gen int, ses *fas.Session) (*process, error) {
	file, err := p.c.Source.Snapshot(ctx, ses)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	mine, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer mine.Close()
	defer theirs.Close()
	cmd := exec.Command(p.c.Command[0], p.c.Command[1:]...)
	// The environment is an allow-list: no credential reaches a slot. The
	// runtime must not open control-group files, and uses as many threads as
	// it has cores.
	cmd.Env = []string{"GODEBUG=containermaxprocs=0,updatemaxprocs=0", fmt.Sprintf("GOMAXPROCS=%d", max(1, len(cpus))), "GOTRACEBACK=none"}
	cmd.ExtraFiles = []*os.File{theirs, file}
	cmd.Stderr = p.c.Stderr
	if err := pinned(cpus, cmd.Start); err != nil {
		return nil, fmt.Errorf("%w: start: %w", ErrSlot, err)
	}
	conn, err := net.FileConn(mine)
	if err != nil {
		return nil, errors.Join(ErrSlot, err, cmd.Process.Kill(), cmd.Wait())
	}
	proc := &process{cmd: cmd, conn: conn, gen: gen}
	err = ses.WithKey(fas.VerbComplete, func(key []byte) error {
		m := ses.Manifest()
		return writeFrame(conn, loadMessage{ses.Tenant(), ses.Customization(), ses.Collection(), ses.Snapshot(), m[:], key})
	})
	var ready answerMessage
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		err = readFrame(conn, &ready)
		_ = conn.SetDeadline(time.Time{})
	}
	if err == nil && ready.Error != "" {
		err = errors.New("the model did not load")
	}
	if err != nil {
		proc.end()
		return nil, fmt.Errorf("%w: %w", ErrSlot, err)
	}
	if len(cpus) > 0 {
		if err := attest(cmd.Process.Pid, cpus); err != nil {
			proc.end()
			return nil, err
		}
		proc.pin = true
	}
	return proc, nil
}

func (p *process) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// end closes the lifeline, gives the process a moment, and kills it.
func (p *process) end() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	_ = p.conn.Close()
	t := time.AfterFunc(200*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	t.Stop()
}

// Close ends all slots. Leases become stale.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	var procs []*process
	for _, s := range p.slots {
		if s.proc != nil {
			procs, s.proc = append(procs, s.proc), nil
		}
	}
	p.cond.Broadcast()
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, proc := range procs {
		wg.Go(proc.end)
	}
	wg.Wait()
	return nil
}

// Slots describes the running slots.
func (p *Pool) Slots() (out []SlotInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots {
		if s.proc != nil {
			out = append(out, s.proc.info(s.cpus))
		}
	}
	return out
}

func (p *process) info(cpus []int) SlotInfo {
	return SlotInfo{p.cmd.Process.Pid, p.gen, cpus, p.pin}
}

// Slot describes the lease's slot.
func (l *Lease) Slot() SlotInfo { return l.proc.info(l.s.cpus) }

// Release gives the slot back. It is harmless twice.
func (l *Lease) Release() {
	l.once.Do(func() {
		l.mu.Lock()
		l.over = true
		l.mu.Unlock()
		l.p.mu.Lock()
		defer l.p.mu.Unlock()
		l.s.users--
		l.p.cond.Broadcast()
	})
}

func (l *Lease) check(p Prompt) error {
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	switch {
	case over:
		return ErrStaleLease
	case l.ses.Err() != nil:
		return l.ses.Err()
	case p.MaxTokens < 0 || p.MaxTokens > 256:
		return ErrConfig
	}
	for _, c := range p.Chunks {
		if c.Customization != l.ses.Customization() {
			return ErrForeignContext
		}
	}
	return nil
}

// Complete asks the slot. Whoever stops early still lets the slot finish.
func (l *Lease) Complete(ctx context.Context, p Prompt) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		toks, err := l.complete(ctx, p)
		if err != nil {
			yield(Token{}, err)
			return
		}
		for _, t := range toks {
			if !yield(t, nil) {
				return
			}
		}
	}
}

func (l *Lease) complete(ctx context.Context, p Prompt) ([]Token, error) {
	if err := l.check(p); err != nil {
		return nil, err
	}
	m := promptMessage{p.Prefix, p.Suffix, p.Path, p.MaxTokens, nil}
	for _, c := range p.Chunks {
		m.Chunks = append(m.Chunks, c.Text)
	}
	proc := l.proc
	proc.mu.Lock()
	defer proc.mu.Unlock()
	if proc.dead {
		return nil, ErrStaleLease
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	_ = proc.conn.SetDeadline(deadline)
	var out answerMessage
	err := writeFrame(proc.conn, m)
	if err == nil {
		err = readFrame(proc.conn, &out)
	}
	if err != nil || out.Error != "" {
		// An answer that is late or broken must not become the next lease's.
		proc.dead = true
		go proc.end()
		return nil, errors.Join(ErrSlot, err)
	}
	return out.Tokens, nil
}
