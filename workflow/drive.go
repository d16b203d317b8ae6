package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// drive starts the goroutine of a run. The caller holds j.mu.
func (j *Journal) drive(r *run, d *definition) {
	r.live = true
	j.work.Go(func() {
		defer func() {
			j.mu.Lock()
			r.live = false
			j.mu.Unlock()
		}()
		pause := j.opts.Backoff
		for {
			wait, more := j.next(r, d)
			if !more {
				return
			}
			if !wait {
				pause = j.opts.Backoff
				continue
			}
			select {
			case <-time.After(pause):
			case <-j.ctx.Done():
				return
			}
			pause = min(2*pause, time.Minute)
		}
	})
}

// next makes one attempt of one step. wait asks for a pause before the next;
// more is false when the run has ended, the journal closes, or a write failed:
// then the run stands still, and Resume takes it up.
func (j *Journal) next(r *run, d *definition) (wait, more bool) {
	j.mu.Lock()
	p := r.p
	j.mu.Unlock()
	switch {
	case j.ctx.Err() != nil || p.final():
		return false, false
	case p.state == Running && p.done == len(d.steps), p.state == Undoing && p.undoing < 0:
		return false, j.finish(r)
	case p.state == Running:
		return j.do(r, d.steps[p.done], p)
	}
	return j.undo(r, d.steps[p.undoing], p)
}

func (j *Journal) finish(r *run) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	state := r.p.state
	// A cancel may have come since the last step ended: then go round again.
	if state == Undoing && r.p.undoing >= 0 {
		return true
	}
	r.stuck = false
	if j.write(r, record{Kind: kindEnd}) == nil {
		j.event(r, kindEnd, "", 0, string(r.p.state))
	}
	return false
}

// begin journals the start of an attempt, unless the run took a turn meanwhile.
func (j *Journal) begin(r *run, kind string, step int, s Step, attempt int) (ok, turned bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if kind == kindDo && r.p.state != Running {
		return false, true
	}
	if j.write(r, record{Kind: kind, Step: step, Attempt: attempt}) != nil {
		return false, false
	}
	j.event(r, kind, s.Name, attempt, "")
	return true, false
}

func (j *Journal) do(r *run, s Step, p progress) (wait, more bool) {
	step, attempt := p.done, p.attempt+1
	ok, turned := j.begin(r, kindDo, step, s, attempt)
	if !ok {
		return false, turned
	}
	ctx, stop := context.WithCancelCause(j.ctx)
	defer stop(nil)
	j.mu.Lock()
	r.stop = stop
	if r.p.cancelled {
		stop(ErrCancelled)
	}
	j.mu.Unlock()
	if s.Timeout > 0 {
		var free context.CancelFunc
		ctx, free = context.WithTimeout(ctx, s.Timeout)
		defer free()
	}
	run := j.view(r, s)
	err := call(ctx, s.Do, run)

	j.mu.Lock()
	defer j.mu.Unlock()
	r.stop = nil
	switch {
	case j.closed:
		// The step may have been cut off; it runs again after Resume.
		return false, false
	case err == nil:
		if j.write(r, record{Kind: kindDone, Step: step, Attempt: attempt, Data: run.state}) != nil {
			return false, false
		}
		j.event(r, kindDone, s.Name, attempt, "")
		return false, true
	case r.p.state == Undoing:
		return false, true
	}
	kind := kindFailed
	if attempt >= max(1, s.Attempts) {
		kind = kindGiveUp
	}
	if j.write(r, record{Kind: kind, Step: step, Attempt: attempt, Reason: reason(err)}) != nil {
		return false, false
	}
	j.event(r, kind, s.Name, attempt, reason(err))
	return kind == kindFailed, true
}

func (j *Journal) undo(r *run, s Step, p progress) (wait, more bool) {
	step, attempt := p.undoing, p.attempt+1
	if ok, _ := j.begin(r, kindUndo, step, s, attempt); !ok {
		return false, false
	}
	run := j.view(r, s)
	var err error
	if s.Undo != nil {
		err = call(j.ctx, s.Undo, run)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false, false
	}
	if err == nil {
		r.stuck = false
		if j.write(r, record{Kind: kindUndone, Step: step, Attempt: attempt, Data: run.state}) != nil {
			return false, false
		}
		j.event(r, kindUndone, s.Name, attempt, "")
		return false, true
	}
	if j.write(r, record{Kind: kindUndoFailed, Step: step, Attempt: attempt, Reason: reason(err)}) != nil {
		return false, false
	}
	j.event(r, kindUndoFailed, s.Name, attempt, reason(err))
	if r.p.failures >= j.opts.StuckAfter && !r.stuck {
		r.stuck = true
		j.event(r, "stuck", s.Name, attempt, reason(err))
	}
	return true, true
}

// view is what a step sees: a copy, so that a step that keeps it after its end
// changes nothing.
func (j *Journal) view(r *run, s Step) *Run {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &Run{
		id: r.id, step: s.Name, state: append([]byte(nil), r.p.data...),
		save: func(b []byte) error {
			j.mu.Lock()
			defer j.mu.Unlock()
			if err := j.write(r, record{Kind: kindState, Data: append([]byte(nil), b...)}); err != nil {
				return err
			}
			j.event(r, kindState, s.Name, r.p.attempt, "")
			return nil
		},
		progress: func(done, total int64) {
			j.mu.Lock()
			defer j.mu.Unlock()
			r.done, r.total = done, total
			j.event(r, "progress", s.Name, r.p.attempt, "")
		},
	}
}

var errPanic = errors.New("step panicked")

// call turns a panic of a step into a failure: it must not take the other runs
// of the process down, and must be undone like any other.
func call(ctx context.Context, f func(context.Context, *Run) error, r *Run) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = Fail("panic", fmt.Errorf("%w", errPanic))
		}
	}()
	return f(ctx, r)
}
