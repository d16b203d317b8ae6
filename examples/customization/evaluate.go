package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
	"github.com/cloisterdev/cloister/gpuinfer/ngram"
)

type evaluation struct {
	Positions       int     `json:"positions"`
	Customized      int     `json:"customized"`
	Generic         int     `json:"generic"`
	CustomizedRate  float64 `json:"customized_rate"`
	GenericRate     float64 `json:"generic_rate"`
	OtherTenant     int     `json:"other_tenant"`
	OtherTenantRate float64 `json:"other_tenant_rate"`
}

// runEvaluate measures the engine on files that were kept out: with the
// tenant's customization, without one (the open file only), and with the
// customization of the other tenant, which nobody would be given.
func runEvaluate(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("evaluate", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "print one JSON object")
	var sources sourceList
	fs.Var(&sources, "source", "folder with a tenant's code; give it twice")
	if err := fs.Parse(args); err != nil {
		return err
	}
	two, err := sides(sources)
	if err != nil {
		return err
	}
	generic, err := work.Generic()
	if err != nil {
		return err
	}
	var models []*ngram.Model
	for _, s := range two {
		files, err := client.Walk(s.root, s.sub, maxUpload)
		if err != nil {
			return err
		}
		m, err := ngram.Build(func(yield func(string, []byte) bool) {
			for i, f := range files {
				if i%keepOut == keepOut-1 {
					s.kept = append(s.kept, f)
					continue
				}
				text, err := os.ReadFile(f.Path)
				if err != nil || !yield(f.Key, text) {
					return
				}
			}
		})
		if err != nil {
			return err
		}
		models = append(models, m)
	}
	var e evaluation
	for i, s := range two {
		for _, f := range s.kept {
			text, err := os.ReadFile(f.Path)
			if err != nil {
				return err
			}
			for _, pos := range work.Positions(f.Key, text, 20) {
				e.Positions++
				for _, m := range []struct {
					m    *ngram.Model
					hits *int
				}{{models[i], &e.Customized}, {generic, &e.Generic}, {models[1-i], &e.OtherTenant}} {
					got, err := work.RestOfLine(ctx, m.m, pos)
					if err != nil {
						return err
					}
					if got == strings.TrimRight(pos.Want, " \t") {
						*m.hits++
					}
				}
			}
		}
	}
	if e.Positions == 0 {
		return errors.New("no positions to evaluate")
	}
	n := float64(e.Positions)
	e.CustomizedRate, e.GenericRate, e.OtherTenantRate = float64(e.Customized)/n, float64(e.Generic)/n, float64(e.OtherTenant)/n
	if *asJSON {
		return json.NewEncoder(out).Encode(e)
	}
	fmt.Fprintf(out, "%d positions in kept-out files, exact rest of line\n  customized     %5.1f %%\n  generic        %5.1f %%  (the open file only)\n  other tenant's %5.1f %%\n", e.Positions, 100*e.CustomizedRate, 100*e.GenericRate, 100*e.OtherTenantRate)
	return nil
}
