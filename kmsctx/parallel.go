package kmsctx

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// runBytes is how much plaintext one goroutine takes at a time, and how much
// is done between two looks at the context.
const runBytes = 256 << 10

// spread calls do for every frame, 0 to frames-1, on this goroutine and, where
// total is large, on others: they take runs of neighbouring frames until none
// is left. It returns after all have ended; of several errors it returns that
// of the first frame, so that a message is always refused with the same one.
func (e *Envelope) spread(ctx context.Context, frames, frame, total int, w *work, do func(f *framer, i int) error) error {
	run := max(1, runBytes/frame)
	if total >= parallelMin && e.o.Workers > 1 {
		p := &pool{ctx: ctx, frames: frames, run: run, do: do}
		return p.work(min(e.o.Workers, (frames-1)/run+1), w)
	}
	for i := range frames {
		if i%run == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := do(&w.f, i); err != nil {
			return err
		}
	}
	return nil
}

// pool is what the goroutines of one message share.
type pool struct {
	ctx         context.Context
	frames, run int
	do          func(f *framer, i int) error

	next  atomic.Int64 // the next run
	stop  atomic.Bool
	mu    sync.Mutex
	first error
}

func (p *pool) work(workers int, w *work) error {
	var wg sync.WaitGroup
	for range workers - 1 {
		own := works.Get().(*work)
		own.f = w.f
		wg.Go(func() {
			defer own.free()
			p.loop(&own.f)
		})
	}
	p.loop(&w.f)
	wg.Wait()
	return p.first
}

func (p *pool) loop(f *framer) {
	for !p.stop.Load() {
		at := int(p.next.Add(1)) - 1
		if at*p.run >= p.frames {
			return
		}
		err := p.ctx.Err()
		for i := at * p.run; i < min(p.frames, (at+1)*p.run) && err == nil; i++ {
			err = p.do(f, i)
		}
		if err != nil {
			p.stop.Store(true)
			p.mu.Lock()
			if p.first == nil || earlier(err, p.first) {
				p.first = err
			}
			p.mu.Unlock()
		}
	}
}

// earlier orders the errors of frames; a context's error comes last.
func earlier(a, b error) bool {
	var x, y *Error
	if !errors.As(a, &x) {
		return false
	}
	return !errors.As(b, &y) || x.Frame < y.Frame
}
