package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloisterdev/cloister/tenant"
	"github.com/cloisterdev/cloister/workflow"
)

// A run that cannot be finished is taken back in reverse order.
func Example() {
	dir, err := os.MkdirTemp("", "workflow")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	j, err := workflow.Open(filepath.Join(dir, "journal"), nil)
	if err != nil {
		panic(err)
	}
	defer j.Close()
	say := func(s string) func(context.Context, *workflow.Run) error {
		return func(context.Context, *workflow.Run) error { fmt.Println(s); return nil }
	}
	if err := j.Define("create",
		workflow.Step{Name: "grant", Do: say("grant"), Undo: say("retire grant")},
		workflow.Step{Name: "stage", Do: func(context.Context, *workflow.Run) error {
			return workflow.Fail("access-denied", errors.New("the bucket said no"))
		}, Undo: say("delete staging")},
		workflow.Step{Name: "index", Do: say("index")},
	); err != nil {
		panic(err)
	}
	ctx := context.Background()

	// A name that a tenant chose is not an ID.
	fmt.Println(errors.Is(j.Start(ctx, "create", "My Customization", nil), workflow.ErrConfig))

	id := tenant.NewCustomizationID().String()
	if err := j.Start(ctx, "create", id, nil); err != nil {
		panic(err)
	}
	status, err := j.Wait(ctx, id)
	fmt.Println(errors.Is(err, workflow.ErrUndone), status.Reason)
	// Output:
	// true
	// grant
	// delete staging
	// retire grant
	// true access-denied
}
