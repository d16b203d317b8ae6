package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
	"github.com/cloisterdev/cloister/sandbox"
	"github.com/cloisterdev/cloister/tenant"
)

// disk hands out a session's snapshot, or, once it is turned, the one that the
// attacker wants to be served under that session.
type disk struct {
	store *embedded.Store
	turn  *fas.Session
}

// Snapshot implements gpuinfer.Source.
func (d *disk) Snapshot(_ context.Context, s *fas.Session) (*os.File, error) {
	if d.turn != nil {
		s = d.turn
	}
	b, err := retrieval.BindingOf(s)
	if err != nil {
		return nil, err
	}
	return os.Open(d.store.Path(b))
}

// slots are attacks of a compromised front end, which owns a pool with one
// slot and has sessions of two tenants in hand.
func (g *gallery) slots(ctx context.Context) ([]attack, func(), error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	store, err := embedded.NewStore(filepath.Join(g.st.Dir(), "front", "collections"))
	if err != nil {
		return nil, nil, err
	}
	cores, err := gpuinfer.Inventory()
	if err != nil {
		return nil, nil, err
	}
	d := &disk{store: store}
	pool, err := gpuinfer.NewPool(gpuinfer.Config{Partitions: cores[:1], Command: []string{exe, "_slot", sandbox.TierConfined.String()}, Source: d, Wait: 300 * time.Millisecond})
	if err != nil {
		return nil, nil, err
	}
	session := func(u client.User, arn string) (*fas.Session, error) {
		id, err := api.ParseCustomization(arn)
		if err != nil {
			return nil, err
		}
		ev, err := g.evidence(u, "GenerateCompletions", g.completion(arn)())
		if err != nil {
			return nil, err
		}
		return g.wall.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID(), Customization: id})
	}
	lease := func(ctx context.Context, s *side) (*gpuinfer.Lease, *fas.Session, error) {
		ses, err := session(s.dev.User, s.arn)
		if err != nil {
			return nil, nil, err
		}
		l, err := pool.Acquire(ctx, ses)
		return l, ses, err
	}
	say := func(ctx context.Context, l *gpuinfer.Lease, chunks ...gpuinfer.Chunk) error {
		for _, err := range l.Complete(ctx, gpuinfer.Prompt{Prefix: "if err != nil {\n\treturn", Chunks: chunks}) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	// Each in its turn is served, by a process of its own.
	control := func(ctx context.Context) error {
		d.turn = nil
		pids := map[int]bool{}
		for _, s := range []*side{g.a, g.b} {
			l, _, err := lease(ctx, s)
			if err != nil {
				return err
			}
			err = say(ctx, l)
			pids[l.Slot().PID] = true
			l.Release()
			if err != nil {
				return err
			}
		}
		if len(pids) != 2 {
			return errors.New("two tenants were served by one process")
		}
		return nil
	}
	entry := func(id, title string, want error, try func(context.Context, *gpuinfer.Lease) error) attack {
		return attack{id, title, "slot", func(ctx context.Context) (outcome, error) {
			l, _, err := lease(ctx, g.a)
			if err != nil {
				return outcome{}, fmt.Errorf("the own slot: %w", err)
			}
			defer l.Release()
			return refusedBy(try(ctx, l), want)
		}, control}
	}
	return []attack{
		entry("slot-two-tenants", "two tenants on one slot", gpuinfer.ErrBusy, func(ctx context.Context, _ *gpuinfer.Lease) error {
			l, _, err := lease(ctx, g.b)
			if err == nil {
				l.Release()
			}
			return err
		}),
		entry("slot-foreign-chunk", "the other tenant's text in a prompt", gpuinfer.ErrForeignContext, func(ctx context.Context, l *gpuinfer.Lease) error {
			id, err := api.ParseCustomization(g.b.arn)
			if err != nil {
				return err
			}
			return say(ctx, l, gpuinfer.Chunk{Customization: id, Text: "secret"})
		}),
		entry("slot-stale-lease", "a lease used after it was given back", gpuinfer.ErrStaleLease, func(ctx context.Context, l *gpuinfer.Lease) error {
			l.Release()
			return say(ctx, l)
		}),
		entry("slot-foreign-snapshot", "the other tenant's snapshot loaded under an own session", gpuinfer.ErrSlot, func(ctx context.Context, l *gpuinfer.Lease) error {
			l.Release()
			ses, err := session(g.a.dev.User, g.a.arn)
			if err != nil {
				return err
			}
			if d.turn = ses; d.turn != nil {
				l, _, err = lease(ctx, g.b)
			}
			if err == nil {
				l.Release()
			}
			return err
		}),
	}, func() { _ = pool.Close() }, nil
}
