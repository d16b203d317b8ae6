//go:build unix

package gpuinfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
)

// A process that does not load gives no lease, and is not left.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.owner("a", nil), w.owner("b", nil)
	wrongKey := w.owner("wrong", bytes.Repeat([]byte{7}, 32))
	ctx := context.Background()
	for name, c := range map[string]struct {
		mode string
		o    *owner
		from *owner // whose file it gets
	}{
		"exits":                {"exit", a, a},
		"cannot confine":       {"unconfined", a, a},
		"answers garbage":      {"garbage", a, a},
		"answers too much":     {"oversized", a, a},
		"dies while answering": {"cut", a, a},
		"sealed under another": {"good", wrongKey, wrongKey},
		"another's snapshot":   {"good", a, b},
	} {
		p := w.pool(1, func(cfg *gpuinfer.Config) {
			cfg.Command = w.command(c.mode)
			cfg.Source = source(func(ctx context.Context, s *fas.Session) (*os.File, error) { return w.Snapshot(ctx, c.from.session()) })
		})
		before := len(w.started())
		l, err := p.Acquire(ctx, c.o.session())
		if refused(t, name, err, gpuinfer.ErrSlot); l != nil || len(p.Slots()) != 0 {
			t.Errorf("%s: a slot all the same", name)
		}
		if w.noneLeft(name); len(w.started()) != before+1 {
			t.Errorf("%s: no process was started", name)
		}
	}
	p := w.pool(1, func(c *gpuinfer.Config) { c.Command = []string{w.pids} })
	_, err := p.Acquire(ctx, a.session())
	refused(t, "no program", err, gpuinfer.ErrSlot)
	broken := true
	p = w.pool(1, func(c *gpuinfer.Config) {
		c.Source = source(func(ctx context.Context, s *fas.Session) (*os.File, error) {
			if broken {
				return nil, os.ErrPermission
			}
			return w.Snapshot(ctx, s)
		})
	})
	_, err = p.Acquire(ctx, a.session())
	refused(t, "no file", err, os.ErrPermission)
	broken = false
	a.serves(w.lease(p, a))
}

// A slot that does not look from outside as it should is asked nothing, however
// well it says that it is confined.
func TestAttestRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.owner("a", nil)
	var looked []int
	wrong := errors.New("no filter")
	p := w.pool(1, func(c *gpuinfer.Config) {
		c.Attest = func(pid int) error {
			if looked = append(looked, pid); len(looked) == 1 {
				return wrong
			}
			return nil
		}
	})
	_, err := p.Acquire(context.Background(), o.session())
	refused(t, "attested as something else", err, gpuinfer.ErrAttest)
	refused(t, "the reason", err, wrong)
	w.noneLeft("refused")
	o.serves(w.lease(p, o))
	if got := w.started(); len(looked) != 2 || len(got) != 2 || looked[0] != got[0] || looked[1] != got[1] {
		t.Errorf("looked at %v, started %v", looked, got)
	}
}

// A process that never gets ready holds up neither a caller whose time ends
// nor the end of the pool.
func TestLoadHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.owner("a", nil)
	p := w.pool(1, func(c *gpuinfer.Config) { c.Command = w.command("silent") })
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_, err := p.Acquire(ctx, o.session())
	refused(t, "never ready", err, gpuinfer.ErrBusy)
	refused(t, "never ready", err, context.DeadlineExceeded)
	waiting := make(chan error)
	go func() { _, err := p.Acquire(context.Background(), o.session()); waiting <- err }()
	time.Sleep(20 * time.Millisecond)
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	must(t, soon(t, closed))
	w.noneLeft("closed while loading")
	refused(t, "waiting while the pool closes", <-waiting, gpuinfer.ErrStaleLease)
	if len(w.started()) != 1 {
		t.Errorf("%d processes", len(w.started()))
	}
}

// soon is what comes before the limits that the pool has by itself.
func soon[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for a limit")
	}
	return v
}

// A pool that is closed at whatever moment of a start leaves no process.
func TestCloseAtAnyMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.owner("a", nil)
	for i := range 40 {
		p := w.pool(1, nil)
		got := make(chan error)
		go func() {
			l, err := p.Acquire(context.Background(), o.session())
			if err == nil {
				_, err = say(context.Background(), l, "secret")
			}
			got <- err
		}()
		// Until the process is there, and then some of the time that it needs.
		for before := len(w.started()); i%4 > 0 && len(w.started()) == before; {
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Duration(i) * 300 * time.Microsecond)
		must(t, p.Close())
		w.noneLeft("closed")
		if err := <-got; err != nil && !errors.Is(err, gpuinfer.ErrStaleLease) && !errors.Is(err, gpuinfer.ErrSlot) {
			t.Error(err)
		}
		if len(p.Slots()) != 0 {
			t.Error("a closed pool has a slot")
		}
	}
}

// A start that its caller has left goes on for the next, and is nobody's lease.
func TestStartIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.owner("a", nil), w.owner("b", nil)
	gate := make(chan struct{})
	p := w.pool(2, func(c *gpuinfer.Config) {
		c.Source = source(func(ctx context.Context, s *fas.Session) (*os.File, error) { <-gate; return w.Snapshot(ctx, s) })
	})
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error)
	go func() { _, err := p.Acquire(ctx, a.session()); left <- err }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	refused(t, "left", <-left, context.Canceled)
	next := make(chan *gpuinfer.Lease)
	go func() {
		l, err := p.Acquire(context.Background(), a.session())
		if err != nil {
			t.Error(err)
		}
		next <- l
	}()
	time.Sleep(50 * time.Millisecond)
	close(gate)
	l := <-next
	if l == nil {
		t.FailNow()
	}
	if l.Slot().Generation != 1 || len(w.started()) != 1 {
		t.Error("the start was lost, or there was a second one beside it")
	}
	a.serves(l)
	l.Release()
	w.lease(p, b)
	if c := w.lease(p, w.owner("c", nil)); c.Slot().Generation != 3 || alive(l.Slot().PID) {
		t.Error("the call that left has kept its slot")
	}
}

// Whatever goes wrong in a completion ends the process; the next lease has
// another one, and its own answer.
func TestAnswerFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.owner("a", nil)
	for _, c := range []struct{ name, mode, prompt, control, want string }{
		{"garbage", "raw", "garbage", "x", "raw x"},
		{"too much", "raw", "oversized", "x", "raw x"},
		{"cut", "raw", "cut", "x", "raw x"},
		{"never", "raw", "silent", "x", "raw x"},
		{"byte by byte", "raw", "slow", "x", "raw x"},
		{"to another prompt", "raw", "other number", "x", "raw x"},
		{"hangs", "good", "hang", "secret", "a"},
		{"late", "good", "late 700ms", "secret", "a"},
		{"dies", "good", "die", "secret", "a"},
		{"fails", "good", "error", "secret", "a"},
		{"floods", "good", "flood", "secret", "a"},
		{"hangs and does not end by itself", "deaf", "hang", "secret", "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := w.pool(1, func(cfg *gpuinfer.Config) { cfg.Command = w.command(c.mode) })
			defer p.Close()
			l := w.lease(p, o)
			ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
			defer cancel()
			got, err := say(ctx, l, c.prompt)
			if refused(t, c.name, err, gpuinfer.ErrSlot); got != "" {
				t.Errorf("%q beside the error", got)
			}
			_, err = say(context.Background(), l, c.control)
			refused(t, "the lease after it", err, gpuinfer.ErrStaleLease)
			// The slot is free although its stale lease is not released.
			next := w.lease(p, o)
			if alive(l.Slot().PID) {
				t.Error("the process lives beside its successor")
			}
			l.Release()
			for range 2 {
				if got, err := say(context.Background(), next, c.control); got != c.want || err != nil {
					t.Errorf("the next lease: %q, %v", got, err)
				}
			}
			if next.Slot().PID == l.Slot().PID || next.Slot().Generation != 2 {
				t.Error("the same process")
			}
		})
	}
}

// A second answer to one prompt does not become the next one's.
func TestSecondAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, o := w.pool(1, func(c *gpuinfer.Config) { c.Command = w.command("raw") }), w.owner("a", nil)
	l := w.lease(p, o)
	if got, err := say(context.Background(), l, "twice"); got != "first" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	got, err := say(context.Background(), l, "x")
	if refused(t, "the second answer", err, gpuinfer.ErrSlot); got != "" {
		t.Errorf("it says %q", got)
	}
	ends(t, l.Slot().PID) // before anybody needs its slot
	if got, err := say(context.Background(), w.lease(p, o), "x"); got != "raw x" || err != nil {
		t.Errorf("the next lease: %q, %v", got, err)
	}
}

func TestKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.pool(1, func(c *gpuinfer.Config) { c.Wait = time.Hour })
	a, b := w.owner("a", nil), w.owner("b", nil)
	l := w.lease(p, a)
	hung := make(chan error)
	go func() { _, err := say(context.Background(), l, "hang"); hung <- err }()
	time.Sleep(50 * time.Millisecond)
	must(t, syscall.Kill(l.Slot().PID, syscall.SIGKILL))
	refused(t, "killed in a completion", soon(t, hung), gpuinfer.ErrSlot)
	_, err := say(context.Background(), l, "secret")
	refused(t, "the lease after it", err, gpuinfer.ErrStaleLease)
	l = w.lease(p, a)
	a.serves(l)
	// Killed while idle and leased: another tenant, who waits for the slot, gets
	// it with a process of its own.
	waiting := make(chan *gpuinfer.Lease)
	go func() {
		l, err := p.Acquire(context.Background(), b.session())
		if err != nil {
			t.Error(err)
		}
		waiting <- l
	}()
	time.Sleep(50 * time.Millisecond)
	must(t, syscall.Kill(l.Slot().PID, syscall.SIGKILL))
	if lb := soon(t, waiting); lb != nil {
		b.serves(lb)
		lb.Release()
	}
	_, err = say(context.Background(), l, "secret")
	refused(t, "the lease of the killed", err, gpuinfer.ErrStaleLease)
	l.Release()
	a.serves(w.lease(p, a))
}

// Close ends what listens and what does not, with leases out or without.
func TestCloseLeavesNoProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, mode := range []string{"good", "deaf"} {
		p := w.pool(2, func(c *gpuinfer.Config) { c.Command = w.command(mode) })
		held, free := w.lease(p, w.owner("a", nil)), w.lease(p, w.owner("b", nil))
		free.Release()
		var wg sync.WaitGroup
		for range 3 { // whoever closes, and closes again, finds none
			wg.Go(func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				w.noneLeft(mode + ": closed")
			})
		}
		wg.Wait()
		if len(p.Slots()) != 0 {
			t.Error("a closed pool has slots")
		}
		_, err := say(context.Background(), held, "secret")
		refused(t, mode+": the held lease", err, gpuinfer.ErrStaleLease)
		held.Release()
	}
}

func TestServeSlotRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	confine := gpuinfer.SlotOptions{Confine: func() error { return nil }}
	r, wr, err := os.Pipe()
	must(t, err)
	defer wr.Close()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	must(t, err)
	// The other end is closed: what is served ends at once.
	conn := os.NewFile(uintptr(fds[0]), "slot")
	must(t, syscall.Close(fds[1]))
	refused(t, "no connection", gpuinfer.ServeSlot(ctx, nil, engine{}, confine), gpuinfer.ErrConfig)
	refused(t, "no engine", gpuinfer.ServeSlot(ctx, conn, nil, confine), gpuinfer.ErrConfig)
	refused(t, "no confinement", gpuinfer.ServeSlot(ctx, conn, engine{}, gpuinfer.SlotOptions{}), gpuinfer.ErrConfig)
	refused(t, "not a socket", gpuinfer.ServeSlot(ctx, r, engine{}, confine), gpuinfer.ErrConfig)
	must(t, r.Close())
	refused(t, "all there, and nobody", gpuinfer.ServeSlot(ctx, conn, engine{}, confine), io.EOF)
}
