//go:build linux

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloisterdev/cloister/sandbox"
)

// The main function of a program that uses a pool begins with
//
//	if len(os.Args) > 1 && os.Args[1] == "sandbox-worker" {
//		sandbox.WorkerMain(handlers)
//	}
func ExamplePool() {
	c := sandbox.Config{Command: []string{"worker", "sandbox-worker"}, Deadline: time.Minute}
	_, err := sandbox.NewPool(c)
	fmt.Println("without a minimum tier:", errors.Is(err, sandbox.ErrConfig))

	c.MinTier = sandbox.TierProcess // a service asks for TierConfined or more
	pool, err := sandbox.NewPool(c)
	if err != nil {
		panic(err)
	}
	defer pool.Close()
	_, err = pool.Run(context.Background(), sandbox.Job{Kind: "no-such-kind"})
	fmt.Println("unknown kind:", errors.Is(err, sandbox.ErrJob))

	result, err := pool.Run(context.Background(), sandbox.Job{Kind: "echo", Request: []byte("hello")})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s, requests handled: %d\n", result.Reply, result.Attestation.Handled)
	// Output:
	// without a minimum tier: true
	// unknown kind: true
	// hello, requests handled: 1
}
