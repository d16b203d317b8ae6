package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
)

// runLoad starts a service with two tenants and asks for completions, and
// checks every answer for its tenant.
func runLoad(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	clients := fs.Int("clients", 8, "concurrent clients, at most 256")
	seconds := fs.Int("seconds", 10, "duration, at most 600")
	var sources sourceList
	fs.Var(&sources, "source", "folder with a tenant's code; give it twice")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *clients < 1 || *clients > 256 || *seconds < 1 || *seconds > 600 {
		return fmt.Errorf("load: --clients must be 1 to 256 and --seconds 1 to 600")
	}
	two, err := sides(sources)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cloister-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	st, err := stack.Start(ctx, stack.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer st.Stop()
	if err := prepare(ctx, &printer{out: out}, st, two); err != nil {
		return err
	}
	var positions [2][]work.Position
	for i, s := range two {
		for _, f := range s.kept {
			text, err := os.ReadFile(f.Path)
			if err != nil {
				return err
			}
			positions[i] = append(positions[i], work.Positions(f.Key, text, 8)...)
		}
		if len(positions[i]) == 0 {
			return fmt.Errorf("load: %s has no positions to ask for", s.name)
		}
		// The first request starts the tenant's slot.
		if _, _, _, err := s.ask(ctx, positions[i][0]); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	var lat []time.Duration
	errs, bad := map[string]int{}, 0
	end := time.Now().Add(time.Duration(*seconds) * time.Second)
	var wg sync.WaitGroup
	start := time.Now()
	for c := range *clients {
		wg.Go(func() {
			s := two[c%2]
			ps := positions[c%2]
			for i := c; time.Now().Before(end) && ctx.Err() == nil; i += *clients {
				got, _, d, err := s.ask(ctx, ps[i%len(ps)])
				mu.Lock()
				if err != nil {
					errs[err.Error()]++
				} else {
					lat = append(lat, d)
					bad += foreign(got, s)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	slices.Sort(lat)
	if len(lat) == 0 {
		return fmt.Errorf("load: no request succeeded: %v", errs)
	}
	at := func(q int) float64 { return float64(lat[min(len(lat)-1, len(lat)*q/100)].Microseconds()) / 1000 }
	fmt.Fprintf(out, "GenerateCompletions: %d clients, %.0f/s, p50 %.2f ms, p90 %.2f ms, p99 %.2f ms; %d foreign tokens; errors %v\n",
		*clients, float64(len(lat))/took.Seconds(), at(50), at(90), at(99), bad, errs)
	if bad > 0 || len(errs) > 0 {
		return fmt.Errorf("load: %d foreign tokens, %d kinds of errors", bad, len(errs))
	}
	return nil
}
