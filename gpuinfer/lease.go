package gpuinfer

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/cloisterdev/cloister/fas"
)

// Lease is the use of a slot for one session.
type Lease struct {
	p    *Pool
	proc *process
	ses  *fas.Session
	over atomic.Bool
}

// Slot describes the lease's slot.
func (l *Lease) Slot() SlotInfo { return l.proc.info() }

// Release gives the slot back. It is harmless twice.
func (l *Lease) Release() {
	if l.over.Swap(true) {
		return
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.proc.users--
	l.p.cond.Broadcast()
}

func (l *Lease) check(ctx context.Context, p Prompt) error {
	switch {
	case l.over.Load():
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
	if l.proc.dead.Load() {
		return ErrStaleLease
	}
	return ctx.Err()
}

// Complete asks the slot. Whoever stops early still lets the slot finish; a
// deadline of ctx that passes meanwhile ends the slot. A prompt of more than
// 4 MiB is refused with ErrConfig.
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
	if err := l.check(ctx, p); err != nil {
		return nil, err
	}
	select {
	case l.proc.turn <- struct{}{}:
		defer func() { <-l.proc.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// Whatever was true may have ended while others had their turn.
	if err := l.check(ctx, p); err != nil {
		return nil, err
	}
	m := promptMessage{Prefix: p.Prefix, Suffix: p.Suffix, Path: p.Path, MaxTokens: p.MaxTokens}
	for _, c := range p.Chunks {
		m.Chunks = append(m.Chunks, c.Text)
	}
	return l.proc.ask(ctx, m)
}
