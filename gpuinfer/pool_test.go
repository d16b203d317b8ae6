//go:build unix

package gpuinfer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/tenant"
)

type source func(context.Context, *fas.Session) (*os.File, error)

func (f source) Snapshot(ctx context.Context, s *fas.Session) (*os.File, error) { return f(ctx, s) }

func parts(cpus ...[]int) (out []gpuinfer.Partition) {
	for _, c := range cpus {
		out = append(out, gpuinfer.Partition{CPUs: c})
	}
	return out
}

func TestNewPoolRefuses(t *testing.T) {
	t.Parallel()
	nothing := source(func(context.Context, *fas.Session) (*os.File, error) { return nil, os.ErrNotExist })
	good := gpuinfer.Config{Partitions: parts([]int{0, 1}, []int{2}), Command: []string{"x"}, Source: nothing}
	for name, change := range map[string]func(*gpuinfer.Config){
		"nothing":                  func(c *gpuinfer.Config) { *c = gpuinfer.Config{} },
		"no partitions":            func(c *gpuinfer.Config) { c.Partitions = nil },
		"no command":               func(c *gpuinfer.Config) { c.Command = nil },
		"an empty command":         func(c *gpuinfer.Config) { c.Command = []string{""} },
		"no source":                func(c *gpuinfer.Config) { c.Source = nil },
		"a core in two partitions": func(c *gpuinfer.Config) { c.Partitions = parts([]int{0, 1}, []int{1}) },
		"a partition twice":        func(c *gpuinfer.Config) { c.Partitions = parts([]int{0}, []int{2}, []int{0}) },
		"a core named twice":       func(c *gpuinfer.Config) { c.Partitions = parts([]int{3, 3}) },
		"no such core":             func(c *gpuinfer.Config) { c.Partitions = parts([]int{-1}) },
	} {
		c := good
		change(&c)
		p, err := gpuinfer.NewPool(c)
		if refused(t, name, err, gpuinfer.ErrConfig); p != nil {
			t.Errorf("%s: a pool all the same", name)
		}
	}
	p, err := gpuinfer.NewPool(good)
	must(t, err)
	must(t, p.Close(), p.Close())
}

func TestAcquireRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.owner("a", nil)
	p, ctx := w.pool(1, nil), context.Background()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	closed, short := o.session(), o.must(o.ask(o.dev, "GenerateCompletions", 20*time.Millisecond))
	must(t, closed.Close())
	time.Sleep(30 * time.Millisecond)
	for name, c := range map[string]struct {
		ctx  context.Context
		s    *fas.Session
		want error
	}{
		"no session":           {ctx, nil, fas.ErrClosed},
		"the zero session":     {ctx, &fas.Session{}, fas.ErrClosed},
		"a search's session":   {ctx, o.must(o.ask(o.dev, "GetRetrievals", 0)), fas.ErrVerb},
		"a catalog's session":  {ctx, o.must(o.ask(o.admin, "CreateCustomization", 0)), fas.ErrVerb},
		"a closed session":     {ctx, closed, fas.ErrClosed},
		"an expired session":   {ctx, short, fas.ErrExpired},
		"a context that ended": {cancelled, o.session(), context.Canceled},
	} {
		l, err := p.Acquire(c.ctx, c.s)
		if refused(t, name, err, c.want); l != nil {
			t.Errorf("%s: a lease all the same", name)
		}
	}
	if n := len(w.started()); n != 0 {
		t.Errorf("%d processes were started for nobody", n)
	}
	l := w.lease(p, o)
	o.serves(l)
	must(t, p.Close())
	_, err := p.Acquire(ctx, o.session())
	refused(t, "a closed pool", err, gpuinfer.ErrStaleLease)
	_, err = say(ctx, l, "secret")
	refused(t, "a lease of a closed pool", err, gpuinfer.ErrStaleLease)
	l.Release()
}

func TestLeaseRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.owner("a", nil), w.owner("b", nil)
	p, ctx := w.pool(1, nil), context.Background()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	past, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	keep := w.lease(p, a) // the slot stays while the others come and go
	defer keep.Release()
	own := gpuinfer.Chunk{Customization: a.id, Text: "own"}
	for name, c := range map[string]struct {
		ctx  context.Context
		p    gpuinfer.Prompt
		want error
	}{
		"a foreign chunk":          {ctx, gpuinfer.Prompt{Chunks: []gpuinfer.Chunk{{Customization: b.id, Text: "x"}}}, gpuinfer.ErrForeignContext},
		"a foreign chunk at last":  {ctx, gpuinfer.Prompt{Chunks: []gpuinfer.Chunk{own, own, {Customization: b.id, Text: "x"}}}, gpuinfer.ErrForeignContext},
		"a chunk of nobody":        {ctx, gpuinfer.Prompt{Chunks: []gpuinfer.Chunk{{Text: "x"}}}, gpuinfer.ErrForeignContext},
		"an empty foreign chunk":   {ctx, gpuinfer.Prompt{Chunks: []gpuinfer.Chunk{{Customization: tenant.NewCustomizationID()}}}, gpuinfer.ErrForeignContext},
		"less than no tokens":      {ctx, gpuinfer.Prompt{MaxTokens: -1}, gpuinfer.ErrConfig},
		"too many tokens":          {ctx, gpuinfer.Prompt{MaxTokens: 257}, gpuinfer.ErrConfig},
		"too long a prompt":        {ctx, gpuinfer.Prompt{Prefix: strings.Repeat("x", 5<<20)}, gpuinfer.ErrConfig},
		"too long when written":    {ctx, gpuinfer.Prompt{Prefix: strings.Repeat("\x01", 1<<20)}, gpuinfer.ErrConfig},
		"a context that ended":     {cancelled, gpuinfer.Prompt{}, context.Canceled},
		"a deadline in the past":   {past, gpuinfer.Prompt{}, context.DeadlineExceeded},
		"foreign beside too large": {ctx, gpuinfer.Prompt{Prefix: strings.Repeat("x", 5<<20), Chunks: []gpuinfer.Chunk{{Text: "x"}}}, gpuinfer.ErrForeignContext},
	} {
		got, err := complete(c.ctx, keep, c.p)
		if refused(t, name, err, c.want); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
	l := w.lease(p, a)
	l.Release()
	l.Release()
	_, err := say(ctx, l, "secret")
	refused(t, "a released lease", err, gpuinfer.ErrStaleLease)
	s := a.session()
	l, err = p.Acquire(ctx, s)
	must(t, err, s.Close())
	_, err = say(ctx, l, "secret")
	refused(t, "a session closed meanwhile", err, fas.ErrClosed)
	l.Release()
	l, err = p.Acquire(ctx, a.must(a.ask(a.dev, "GenerateCompletions", 300*time.Millisecond)))
	must(t, err)
	time.Sleep(310 * time.Millisecond)
	_, err = say(ctx, l, "secret")
	refused(t, "a session expired meanwhile", err, fas.ErrExpired)
	l.Release()

	// Nothing of all that reached the slot, or harmed it.
	if got, err := say(ctx, keep, "asked"); got != "1" || err != nil || len(w.started()) != 1 {
		t.Errorf("the slot was asked %s times, %v", got, err)
	}
	got, err := complete(ctx, keep, gpuinfer.Prompt{Prefix: "echo", Suffix: "s", Path: "p", MaxTokens: 256, Chunks: []gpuinfer.Chunk{own, own}})
	if got != "s;p;256;own;own;" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTwoTenantsOneSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.owner("a", nil), w.owner("b", nil)
	ctx := context.Background()
	p := w.pool(1, func(c *gpuinfer.Config) { c.Wait = 100 * time.Millisecond })
	la := w.lease(p, a)
	a.serves(la)
	if _, err := p.Acquire(ctx, b.session()); !errors.Is(err, gpuinfer.ErrBusy) {
		t.Errorf("the slot of another tenant: %v", err)
	}
	again := w.lease(p, a)
	if la.Slot().PID != again.Slot().PID || la.Slot().Generation != again.Slot().Generation {
		t.Error("the same customization does not share the warm slot")
	}
	la.Release()
	la.Release() // twice is once
	if _, err := p.Acquire(ctx, b.session()); !errors.Is(err, gpuinfer.ErrBusy) {
		t.Errorf("a slot with a lease left: %v", err)
	}
	a.serves(again)
	again.Release()
	lb := w.lease(p, b)
	if alive(la.Slot().PID) {
		t.Error("the process of the first tenant lives")
	}
	if lb.Slot().PID == la.Slot().PID || lb.Slot().Generation <= la.Slot().Generation {
		t.Error("another tenant has the same process")
	}
	b.serves(lb)
	_, err := say(ctx, again, "secret")
	refused(t, "the first tenant's lease", err, gpuinfer.ErrStaleLease)
	lb.Release()
	back := w.lease(p, a)
	defer back.Release()
	if g := back.Slot().Generation; g != 3 || len(w.started()) != 3 {
		t.Errorf("generation %d of %d processes", g, len(w.started()))
	}
	a.serves(back)
}

func TestSecondTenantWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.owner("a", nil), w.owner("b", nil)
	p := w.pool(1, nil)
	la := w.lease(p, a)
	ctx, cancel := context.WithCancel(context.Background())
	type result struct {
		l   *gpuinfer.Lease
		err error
	}
	line := make(chan result)
	wait := func(ctx context.Context) {
		l, err := p.Acquire(ctx, b.session())
		line <- result{l, err}
	}
	go wait(ctx)
	select {
	case r := <-line:
		t.Fatalf("it did not wait: %v", r.err)
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	r := <-line
	refused(t, "cancelled while waiting", r.err, context.Canceled)
	refused(t, "cancelled while waiting", r.err, gpuinfer.ErrBusy)
	a.serves(la)
	go wait(context.Background())
	time.Sleep(50 * time.Millisecond)
	la.Release()
	r = <-line
	must(t, r.err)
	b.serves(r.l)
	r.l.Release()
	a.serves(w.lease(p, a))
}

// A tenant whose slot does not answer holds up nobody else.
func TestNobodyWaitsForAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.owner("a", nil), w.owner("b", nil)
	p := w.pool(2, nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	la := w.lease(p, a)
	hung := make(chan error, 1)
	go func() { _, err := say(ctx, la, "hang"); hung <- err }()
	time.Sleep(50 * time.Millisecond)
	for range 3 {
		lb := w.lease(p, b)
		b.serves(lb)
		lb.Release()
	}
	if n := len(p.Slots()); n != 2 {
		t.Errorf("%d slots", n)
	}
	fellow, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	_, err := say(fellow, w.lease(p, a), "secret")
	refused(t, "a fellow whose time ends in the queue", err, context.DeadlineExceeded)
	select {
	case err := <-hung:
		t.Fatalf("the others waited for the hanging one: %v", err)
	default:
	}
	must(t, p.Close())
	w.noneLeft("closed while a completion hangs")
	refused(t, "the hanging completion", <-hung, gpuinfer.ErrSlot)
}

// Many calls of three tenants on two slots: each is answered from its own
// snapshot, and no process serves two.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owners := []*owner{w.owner("a", nil), w.owner("b", nil), w.owner("c", nil)}
	p := w.pool(2, func(c *gpuinfer.Config) { c.Wait = time.Minute })
	var mu sync.Mutex
	by := map[int]string{}
	var wg sync.WaitGroup
	for i := range 12 {
		o := owners[i%3]
		wg.Go(func() {
			for range 8 {
				s, err := o.ask(o.dev, "GenerateCompletions", 0)
				if err != nil {
					t.Error(err)
					return
				}
				l, err := p.Acquire(context.Background(), s)
				if err != nil {
					t.Error(err)
					return
				}
				o.serves(l)
				mu.Lock()
				g := l.Slot().Generation
				if by[g] == "" {
					by[g] = o.secret
				}
				if by[g] != o.secret {
					t.Errorf("generation %d serves %s and %s", g, by[g], o.secret)
				}
				mu.Unlock()
				l.Release()
			}
		})
	}
	wg.Wait()
	if len(by) < 3 {
		t.Errorf("%d generations for three tenants", len(by))
	}
}

func ExamplePool_Acquire() {
	source := source(func(context.Context, *fas.Session) (*os.File, error) { return os.Open("snapshot") })
	_, err := gpuinfer.NewPool(gpuinfer.Config{Partitions: parts([]int{0, 1}, []int{1, 2}), Command: []string{"slot"}, Source: source})
	fmt.Println("overlapping cores:", errors.Is(err, gpuinfer.ErrConfig))
	pool, err := gpuinfer.NewPool(gpuinfer.Config{Partitions: parts([]int{0, 1}, []int{2, 3}), Command: []string{"slot"}, Source: source})
	if err != nil {
		return
	}
	defer pool.Close()
	var made *fas.Session // nobody but the firewall makes one that is open
	_, err = pool.Acquire(context.Background(), made)
	fmt.Println("no session:", errors.Is(err, fas.ErrClosed))
	fmt.Println("slots started:", len(pool.Slots()))
	// Output:
	// overlapping cores: true
	// no session: true
	// slots started: 0
}
