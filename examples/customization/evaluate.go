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
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/gpuinfer/ngram"
)

// score is how many positions the engines got right: the tenant's own, and a
// generic one, which knows as much code of the same language, but other code.
type score struct {
	Customized     int     `json:"customized"`
	Generic        int     `json:"generic"`
	CustomizedRate float64 `json:"customized_rate"`
	GenericRate    float64 `json:"generic_rate"`
	Ratio          float64 `json:"ratio"`
}

func (s *score) rates(positions int) {
	s.CustomizedRate, s.GenericRate = float64(s.Customized)/float64(positions), float64(s.Generic)/float64(positions)
	// Nothing is infinitely better: a rate of zero counts as half a hit.
	s.Ratio = float64(s.Customized) / max(float64(s.Generic), 0.5)
}

// evaluation compares what the two corpora are worth by themselves, and what
// is left of that when both engines may also repeat the text of the open file.
type evaluation struct {
	Positions int `json:"positions"`
	score
	WithOpenFile score `json:"with_open_file"`
	OpenFileOnly int   `json:"open_file_only"`
}

// runEvaluate measures the engine at cursor positions in files that were kept
// out. The generic engine is made of the other tenant's code, which is as much
// code of the same language; no request is ever served so.
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
	none, err := work.Generic()
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
					m    gpuinfer.Model
					hits *int
				}{
					{models[i].CorpusOnly(), &e.Customized}, {models[1-i].CorpusOnly(), &e.Generic},
					{models[i], &e.WithOpenFile.Customized}, {models[1-i], &e.WithOpenFile.Generic},
					{none, &e.OpenFileOnly},
				} {
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
	e.rates(e.Positions)
	e.WithOpenFile.rates(e.Positions)
	if *asJSON {
		return json.NewEncoder(out).Encode(e)
	}
	fmt.Fprintf(out, "%d positions in kept-out files, exact rest of line\n", e.Positions)
	fmt.Fprintf(out, "                      customized  generic  ratio\n")
	for _, r := range []struct {
		title string
		score
	}{{"corpus alone", e.score}, {"and the open file", e.WithOpenFile}} {
		fmt.Fprintf(out, "  %-18s  %8.1f %%  %5.1f %%  %5.1f\n", r.title, 100*r.CustomizedRate, 100*r.GenericRate, r.Ratio)
	}
	fmt.Fprintf(out, "  the open file without any corpus: %.1f %%\n", 100*float64(e.OpenFileOnly)/float64(e.Positions))
	return nil
}
