package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cloisterdev/cloister/tenant"
	"github.com/cloisterdev/cloister/workflow"
)

// permanent is a failure that a retry would not mend; its text is the code
// that the customer sees.
type permanent string

// Error returns the code.
func (p permanent) Error() string { return string(p) }

// openJournal defines the workflows and resumes what a crash interrupted.
func (f *Front) openJournal(ctx context.Context) error {
	j, err := workflow.Open(filepath.Join(f.cfg.Dir, "journal.db"), f.cfg.Journal)
	if err != nil {
		return err
	}
	f.journal = j
	err = errors.Join(j.Define("ingest",
		workflow.Step{Name: "admit", Do: func(context.Context, *workflow.Run) error { return nil }, Undo: f.abandon},
		workflow.Step{Name: "fetch", Do: f.step(func(ctx context.Context, r *workflow.Run, st *state) error { return f.fetch(ctx, r.ID(), st) }), Undo: f.cleanStep},
		workflow.Step{Name: "index", Do: f.step(func(ctx context.Context, _ *workflow.Run, st *state) error { return f.index(ctx, st) }), Undo: f.dropSnapshot, Attempts: 2},
		workflow.Step{Name: "register", Do: f.step(func(ctx context.Context, _ *workflow.Run, st *state) error { return f.register(ctx, st) }), Attempts: 3},
		workflow.Step{Name: "evaluate", Do: f.step(func(ctx context.Context, _ *workflow.Run, st *state) error { return f.evaluate(ctx, st) }), Attempts: 2},
		workflow.Step{Name: "clean", Do: f.cleanStep, Attempts: 5},
		workflow.Step{Name: "finish", Do: f.step(func(ctx context.Context, _ *workflow.Run, st *state) error {
			defer f.progress.end(st.Customization)
			return f.gate.Finish(ctx, st.Ticket, st.Score)
		}), Attempts: 5},
	), j.Define("remove",
		workflow.Step{Name: "files", Attempts: 100, Do: f.step(func(_ context.Context, _ *workflow.Run, st *state) error {
			return f.collections.Remove(st.Ticket.Collection)
		})},
		workflow.Step{Name: "row", Attempts: 100, Do: f.step(func(ctx context.Context, _ *workflow.Run, st *state) error {
			f.progress.clear(st.Customization)
			return f.gate.Removed(ctx, st.Ticket)
		})},
	))
	if err != nil {
		return err
	}
	if err := j.Resume(ctx); err != nil {
		return err
	}
	return f.reconcile(ctx)
}

// reconcile ends what the registry waits for and the journal never heard of:
// this process may have been killed between the two.
func (f *Front) reconcile(ctx context.Context) error {
	open, err := f.gate.Unfinished(ctx)
	if err != nil {
		return err
	}
	for _, u := range open {
		if u.Remove {
			// Starting a run that is there already is refused, and right.
			if err := f.remove(ctx, u.Customization, u.Ticket); err != nil && !errors.Is(err, workflow.ErrExists) {
				return err
			}
			continue
		}
		if _, err := f.journal.Status(runID(u.Customization, u.Version)); errors.Is(err, workflow.ErrUnknown) {
			if err := f.gate.Abandon(ctx, u.Ticket, "interrupted"); err != nil {
				return err
			}
		}
	}
	return nil
}

func runID(id tenant.CustomizationID, version int) string { return fmt.Sprintf("%s.%d", id, version) }

func (f *Front) startRun(ctx context.Context, name, id string, st state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return f.journal.Start(ctx, name, id, b)
}

// step decodes the state for a step and keeps what the step changed. The code
// of a failure is kept too, for the customer.
func (f *Front) step(do func(context.Context, *workflow.Run, *state) error) func(context.Context, *workflow.Run) error {
	return func(ctx context.Context, r *workflow.Run) error {
		var st state
		if err := json.Unmarshal(r.State(), &st); err != nil {
			return err
		}
		err := do(ctx, r, &st)
		var p permanent
		if errors.As(err, &p) {
			st.Failure = string(p)
		}
		b, merr := json.Marshal(st)
		if merr != nil {
			return errors.Join(err, merr)
		}
		if serr := r.SetState(b); serr != nil {
			return errors.Join(err, serr)
		}
		if err != nil {
			return errors.Join(err, r.Save())
		}
		return nil
	}
}

func (f *Front) cleanStep(_ context.Context, r *workflow.Run) error {
	var st state
	if err := json.Unmarshal(r.State(), &st); err != nil {
		return err
	}
	return f.clean(st)
}

func (f *Front) dropSnapshot(_ context.Context, r *workflow.Run) error {
	var st state
	if err := json.Unmarshal(r.State(), &st); err != nil {
		return err
	}
	return f.collections.RemoveSnapshot(st.Binding)
}

// abandon is the last thing undone: the firewall drops the keys.
func (f *Front) abandon(ctx context.Context, r *workflow.Run) error {
	var st state
	if err := json.Unmarshal(r.State(), &st); err != nil {
		return err
	}
	f.progress.end(st.Customization)
	if st.Failure == "" {
		st.Failure = "internal"
	}
	return f.gate.Abandon(ctx, st.Ticket, st.Failure)
}
