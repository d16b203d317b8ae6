package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
)

// runLoad asks a service for completions and retrievals, and checks every
// answer for its tenant. The service is a running one, or one that it starts
// with two tenants.
func runLoad(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	clients := fs.Int("clients", 8, "concurrent clients, at most 256")
	seconds := fs.Int("seconds", 10, "duration, at most 600")
	retrievals := fs.Int("retrievals", 10, "share of retrievals among the calls, in percent")
	addr := fs.String("addr", "", "address of a running service; without it one is started")
	var sources, users sourceList
	fs.Var(&sources, "source", "folder with a tenant's code; give it once a tenant")
	fs.Var(&users, "as", "with --addr: file with a user's key, as \"user add --json\" printed it; once for each --source, in the same order")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *clients < 1 || *clients > 256 || *seconds < 1 || *seconds > 600 || *retrievals < 0 || *retrievals > 100 || fs.NArg() > 0 {
		return errors.New("load: --clients must be 1 to 256, --seconds 1 to 600, --retrievals 0 to 100")
	}
	var asked []*side
	if *addr != "" {
		var err error
		if asked, err = running(ctx, *addr, users, sources); err != nil {
			return err
		}
	} else {
		if len(users) > 0 {
			return errors.New("load: --as needs the --addr of the service whose user it is")
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
		asked = two
	}
	positions := make([][]work.Position, len(asked))
	for i, s := range asked {
		for _, f := range s.kept {
			text, err := os.ReadFile(f.Path)
			if err != nil {
				return err
			}
			positions[i] = append(positions[i], work.Positions(f.Key, text, 8)...)
		}
		if len(positions[i]) == 0 {
			return fmt.Errorf("load: %s has no positions to ask for", s.root)
		}
		// The first request starts the tenant's slot.
		if _, _, _, err := s.ask(ctx, positions[i][0]); err != nil {
			return err
		}
	}
	var mu sync.Mutex
	lat := map[string][]time.Duration{}
	errs, bad := map[string]int{}, 0
	end := time.Now().Add(time.Duration(*seconds) * time.Second)
	var wg sync.WaitGroup
	start := time.Now()
	for c := range *clients {
		wg.Go(func() {
			s, ps := asked[c%len(asked)], positions[c%len(asked)]
			for i, n := c, 0; time.Now().Before(end) && ctx.Err() == nil; i, n = i+*clients, n+1 {
				op, alien, d, err := s.once(ctx, ps[i%len(ps)], n%100 < *retrievals)
				mu.Lock()
				if err != nil {
					errs[op+": "+err.Error()]++
				} else {
					lat[op] = append(lat[op], d)
					bad += alien
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if len(lat) == 0 {
		return fmt.Errorf("load: no request succeeded: %v", errs)
	}
	for _, op := range slices.Sorted(maps.Keys(lat)) {
		l := lat[op]
		slices.Sort(l)
		at := func(q int) float64 { return float64(l[min(len(l)-1, len(l)*q/100)].Microseconds()) / 1000 }
		fmt.Fprintf(out, "%s: %d clients, %.0f/s, p50 %.2f ms, p90 %.2f ms, p99 %.2f ms\n", op, *clients, float64(len(l))/took.Seconds(), at(50), at(90), at(99))
	}
	fmt.Fprintf(out, "%d foreign tokens or hits; errors %v\n", bad, errs)
	if bad > 0 || len(errs) > 0 {
		return fmt.Errorf("load: %d foreign tokens or hits, %d kinds of errors", bad, len(errs))
	}
	return nil
}

// once makes one call and counts what is not the tenant's own in the answer.
func (s *side) once(ctx context.Context, pos work.Position, retrieve bool) (op string, alien int, d time.Duration, err error) {
	if !retrieve {
		got, _, d, err := s.ask(ctx, pos)
		return "GenerateCompletions", foreign(got, s), d, err
	}
	t := time.Now()
	hits, err := s.retrieve(ctx, pos)
	for _, h := range hits {
		if !s.owns(h.Filepath) {
			alien++
		}
	}
	return "GetRetrievals", alien, time.Since(t), err
}

// running are tenants of a running service: their users, and the folders that
// their customizations were made of.
func running(ctx context.Context, addr string, users, sources []string) (out []*side, err error) {
	if len(users) == 0 || len(users) != len(sources) {
		return nil, errors.New("load: with --addr, give --as USER.json and --source DIR once for each tenant")
	}
	for i := range users {
		u, err := readUser(users[i])
		if err != nil {
			return nil, err
		}
		s := &side{root: sources[i], dev: client.New(addr, u), own: map[string]bool{}}
		if s.arn, err = s.onlyOne(ctx); err != nil {
			return nil, err
		}
		files, err := client.Walk(sources[i], []string{"."}, work.MaxSource)
		if err != nil {
			return nil, err
		}
		for n, f := range files {
			s.own[f.Key] = true
			if n%keepOut == 0 {
				s.kept = append(s.kept, f)
			}
		}
		out = append(out, s)
	}
	return out, nil
}
