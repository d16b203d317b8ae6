// Command workflow runs steps that are undone when they cannot be finished.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/cloisterdev/cloister/tenant"
	"github.com/cloisterdev/cloister/workflow"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "workflow-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "journal")
	j, err := workflow.Open(path, nil)
	if err != nil {
		return err
	}
	defer j.Close()
	// An effect is keyed: after a crash it may be asked for again.
	granted := map[string]bool{}
	grant := workflow.Step{Name: "grant",
		Do:   func(_ context.Context, r *workflow.Run) error { granted[r.Key()] = true; return nil },
		Undo: func(_ context.Context, r *workflow.Run) error { delete(granted, r.Key()); return nil }}
	fail := workflow.Step{Name: "fetch", Do: func(context.Context, *workflow.Run) error {
		return workflow.Fail("access-denied", errors.New("what the bucket said is not journaled"))
	}}
	index := workflow.Step{Name: "index", Do: func(context.Context, *workflow.Run) error { return nil }}
	if err := errors.Join(j.Define("broken", grant, fail), j.Define("create", grant, index)); err != nil {
		return err
	}

	_, second := workflow.Open(path, nil)
	typed := j.Start(ctx, "create", "Name of a Tenant", nil)
	if !errors.Is(second, workflow.ErrLocked) || !errors.Is(typed, workflow.ErrConfig) {
		return fmt.Errorf("a second owner: %w, a typed ID: %w", second, typed)
	}
	fmt.Println("refused: a second owner of the journal, and an ID that somebody typed")

	id := tenant.NewCustomizationID().String()
	if err := j.Start(ctx, "broken", id, nil); err != nil {
		return err
	}
	s, err := j.Wait(ctx, id)
	if !errors.Is(err, workflow.ErrUndone) {
		return fmt.Errorf("not taken back: %w", err)
	}
	fmt.Println("undone for", s.Reason, "grants left:", len(granted))

	id = tenant.NewCustomizationID().String()
	if err := j.Start(ctx, "create", id, nil); err != nil {
		return err
	}
	s, err = j.Wait(ctx, id)
	fmt.Println("run:", s.State, "grants:", len(granted))
	return err
}
