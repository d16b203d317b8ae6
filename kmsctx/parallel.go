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
	runs := (frames-1)/run + 1
	workers := 1
	if total >= parallelMin {
		workers = min(e.o.Workers, runs)
	}
	var (
		next  atomic.Int64
		stop  atomic.Bool
		mu    sync.Mutex
		first error
		wg    sync.WaitGroup
	)
	loop := func(f *framer) {
		for !stop.Load() {
			at := int(next.Add(1)) - 1
			if at >= runs {
				return
			}
			err := ctx.Err()
			for i := at * run; i < min(frames, (at+1)*run) && err == nil; i++ {
				err = do(f, i)
			}
			if err != nil {
				stop.Store(true)
				mu.Lock()
				if first == nil || earlier(err, first) {
					first = err
				}
				mu.Unlock()
			}
		}
	}
	if workers == 1 {
		loop(&w.f)
		return first
	}
	for range workers - 1 {
		own := works.Get().(*work)
		own.f = w.f
		wg.Go(func() {
			defer own.free()
			loop(&own.f)
		})
	}
	loop(&w.f)
	wg.Wait()
	return first
}

// earlier orders the errors of frames; a context's error comes last.
func earlier(a, b error) bool {
	var x, y *Error
	if !errors.As(a, &x) {
		return false
	}
	return !errors.As(b, &y) || x.Frame < y.Frame
}
