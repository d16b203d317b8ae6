//go:build linux

// Command sandbox runs one request in a process that can open nothing.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/cloisterdev/cloister/sandbox"
)

// handlers are what a worker can do. Both run after the confinement.
var handlers = map[string]sandbox.Handler{
	"count": func(_ context.Context, req []byte, _ []*os.File) ([]byte, error) {
		return fmt.Append(nil, len(bytes.Fields(req))), nil
	},
	"steal": func(context.Context, []byte, []*os.File) ([]byte, error) {
		b, err := os.ReadFile("/etc/passwd")
		return b, sandbox.Fail("cannot-open", err)
	},
}

func main() {
	// The same program is the worker: this comes before everything else.
	if len(os.Args) > 1 && os.Args[1] == "sandbox-worker" {
		sandbox.WorkerMain(handlers)
	}
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	pool, err := sandbox.NewPool(sandbox.Config{MinTier: sandbox.TierConfined, Command: []string{exe, "sandbox-worker"}, Deadline: time.Minute})
	if err != nil {
		return err // there is no weaker way on a machine that cannot confine
	}
	defer pool.Close()

	var failed *sandbox.JobError
	if _, err := pool.Run(ctx, sandbox.Job{Kind: "steal"}); !errors.As(err, &failed) || failed.Code != "cannot-open" {
		return fmt.Errorf("a worker read a file: %w", err)
	}
	fmt.Println("refused: a worker that reads a file that it was not handed")

	first, err := pool.Run(ctx, sandbox.Job{Kind: "count", Request: []byte("package main")})
	if err != nil {
		return err
	}
	second, err := pool.Run(ctx, sandbox.Job{Kind: "count", Request: []byte("func main() { }")})
	if err != nil {
		return err
	}
	fmt.Printf("counted %s and %s words, each in a process of its own: %v\n", first.Reply, second.Reply,
		first.Attestation.PID != second.Attestation.PID && first.Attestation.Handled == 1)
	return nil
}
