//go:build linux

// Command gpuinfer completes code in a process that serves one customization.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/cloisterdev/cloister/examples/quickstart/internal/served"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/sandbox"
	"github.com/cloisterdev/cloister/tenant"
)

var code = retrieval.Document{Path: "sum.go", Text: []byte("package x\n\nfunc Sum(a, b int) int {\n\treturn addWithOverflowCheck(a, b)\n}\n")}

func main() {
	do := run
	if len(os.Args) > 1 && os.Args[1] == "slot" {
		do = slot // the same program is the slot
	}
	if err := do(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func slot(ctx context.Context) error {
	return gpuinfer.ServeSlot(ctx, os.NewFile(3, "pool"), served.Engine{}, gpuinfer.SlotOptions{
		Confine: func() error { return sandbox.Confine(sandbox.Profile{}) }})
}

func run(ctx context.Context) error {
	w, err := served.Start(ctx, code)
	if err != nil {
		return err
	}
	defer w.Close()
	search, err1 := w.Ask(ctx, "GetRetrievals")
	complete, err2 := w.Ask(ctx, "GenerateCompletions")
	cores, err3 := gpuinfer.Inventory()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	pool, err := gpuinfer.NewPool(gpuinfer.Config{Partitions: cores[:1], Command: []string{"/proc/self/exe", "slot"}, Source: w})
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Acquire(ctx, search); !errors.Is(err, fas.ErrVerb) {
		return fmt.Errorf("a search's session: %w", err)
	}
	lease, err := pool.Acquire(ctx, complete)
	if err != nil {
		return err
	}
	defer lease.Release()
	foreign := gpuinfer.Prompt{Prefix: "return", Chunks: []gpuinfer.Chunk{{Customization: tenant.NewCustomizationID(), Text: "x"}}}
	var refused error
	for _, refused = range lease.Complete(ctx, foreign) {
		break
	}
	if !errors.Is(refused, gpuinfer.ErrForeignContext) {
		return fmt.Errorf("a foreign chunk: %w", refused)
	}
	fmt.Print("refused: a search's session, and a chunk of another customization\ncompleted: return")
	for tok, err := range lease.Complete(ctx, gpuinfer.Prompt{Prefix: "func Other(a, b int) int {\n\treturn"}) {
		if err != nil {
			return err
		}
		fmt.Print(tok.Text)
	}
	_, err = fmt.Println("\non its own cores:", lease.Slot().Pinned)
	return err
}
