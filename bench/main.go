// Command bench measures Cloister against named peers, interleaved in one run
// on one machine, and writes the tables and plots of doc/benchmarks.md.
//
//	go -C bench run . PACKAGE [--quick] [--json]
//
// A value is a median over rounds in which ours and the peers took turns.
// Before anything is timed, each contender must give the right answer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `Usage: go -C bench run . PACKAGE [--quick] [--json]

  kmsctx   seal and open a message, against AES-256-GCM alone and tink
  request  one whole completion with every layer on, against the same with none

  --quick    fewer sizes and rounds; prints, and leaves doc/benchmarks.md alone
  --json     one JSON object a row
  --doc DIR  folder of benchmarks.md (../doc)
`

// suite measures one package.
type suite func(ctx context.Context, quick bool) (report, error)

var suites = map[string]suite{"kmsctx": benchKmsctx, "request": benchRequest}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 2 && os.Args[1] == peerRole {
		if err := servePeer(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintf(os.Stderr, "bench: the plain peer: %v\n", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Print(usage)
			return
		}
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	quick := fs.Bool("quick", false, "")
	asJSON := fs.Bool("json", false, "")
	doc := fs.String("doc", filepath.Join("..", "doc"), "")
	// People write the package before the flags and after them.
	var words []string
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return err
		}
		if args = fs.Args(); len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	if len(words) != 1 || suites[words[0]] == nil {
		return fmt.Errorf("one package is needed, not %q\n%s", words, usage)
	}
	name := words[0]
	page := filepath.Join(*doc, "benchmarks.md")
	if !*quick {
		// Minutes of measuring should not end in a page that cannot take them.
		if _, err := updated(page, name, ""); err != nil {
			return err
		}
	}
	rep, err := suites[name](ctx, *quick)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if *asJSON {
		err = writeJSON(out, rep.rows)
	} else {
		err = writeTable(out, rep.rows)
	}
	if err != nil || *quick {
		return err
	}
	return publish(*doc, name, rep)
}
