package main

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// contender is one of those compared. run does its work n times.
type contender struct {
	name string
	run  func(n int) error
}

func names(cs []contender) (out []string) {
	for _, c := range cs {
		out = append(out, c.name)
	}
	return out
}

// turns gives each of n contenders one turn a round. Who begins changes, so
// that a disturbance of the machine hits all alike.
func turns(ctx context.Context, n, rounds int, turn func(i int) error) error {
	for r := range rounds {
		for k := range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			// One contender's garbage is not the next one's cost.
			runtime.GC()
			if err := turn((r + k) % n); err != nil {
				return err
			}
		}
	}
	return nil
}

// clock counts from wherever it likes.
type clock func() time.Duration

var began = time.Now()

func wallTime() time.Duration { return time.Since(began) }

// interleave returns each contender's median seconds for one run, of turns of
// about slice.
func interleave(ctx context.Context, cs []contender, rounds int, slice time.Duration) ([]float64, error) {
	return interleaveBy(ctx, wallTime, cs, rounds, slice)
}

// interleaveBy is interleave by another clock than the wall's: where neighbours
// use the machine too, what a contender used says more than how long it took.
func interleaveBy(ctx context.Context, now clock, cs []contender, rounds int, slice time.Duration) ([]float64, error) {
	if len(cs) < 2 || rounds < 1 || slice <= 0 {
		return nil, fmt.Errorf("%w: two contenders, one round and some time are the least", errComparison)
	}
	times := make([]int, len(cs))
	for i, c := range cs {
		n, err := calibrate(c, slice)
		if err != nil {
			return nil, err
		}
		times[i] = n
	}
	took := make([][]float64, len(cs))
	err := turns(ctx, len(cs), rounds, func(i int) error {
		start := now()
		if err := cs[i].run(times[i]); err != nil {
			return fmt.Errorf("%s: %w", cs[i].name, err)
		}
		took[i] = append(took[i], (now()-start).Seconds()/float64(times[i]))
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(cs))
	for i := range out {
		out[i] = median(took[i])
	}
	return out, nil
}

// calibrate finds how many runs fill about one slice; it also warms up.
func calibrate(c contender, slice time.Duration) (int, error) {
	for n := 1; ; n *= 4 {
		start := time.Now()
		if err := c.run(n); err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
		if d := time.Since(start); d >= slice/8 || n >= 1<<24 {
			return max(1, int(float64(n)*float64(slice)/float64(max(d, 1)))), nil
		}
	}
}
