// Command bench measures Cloister against named peers, interleaved in one run
// on one machine, and writes the tables and plots of doc/benchmarks.md.
//
//	go -C bench run . PACKAGE [--quick] [--json]
//
// Ours and the peers take turns in one run; a value is a median over turns or,
// for the latency of requests, a quantile over all of them. Before anything is
// timed, each contender must give the right answer: what was sealed opens and
// is refused with a bit changed, and two services answer alike to the byte.
//
// It does not say what another machine would measure, nor what an attacker can:
// a figure here is no security argument.
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

const usage = `Usage: go -C bench run . PACKAGE [--quick] [--json] [--doc DIR]

  kmsctx   seal, open, stream and read at random, against AES-256-GCM alone,
           tink, sio and age; -tags esdk adds the official AWS Encryption SDK
           for Go, and CLOISTER_ESDK_PYTHON names the program of that for Python
           (its command line: bench/interop/esdk)
  fas      verification of SigV4, against the signer of aws-sdk-go-v2 and HMAC,
           and against the verifiers of minio and awsig, which are built from
           checkouts that CLOISTER_SOURCE_MINIO and CLOISTER_SOURCE_AWSIG name;
           policy decisions, against versitygw's evaluator and Cedar
  request  one whole completion with every layer on, against the same with none;
           builds examples/customization and starts it in a temporary folder

  --quick    fewer sizes and rounds; prints, and leaves the page alone
  --json     one JSON object a row
  --doc DIR  folder of benchmarks.md (../doc)
  --help     this text

Prints a row for each comparison: name, ours, peer, ours_value, peer_value,
unit, ratio. Values are medians unless the name says another quantile, and the
ratio is ours over the peer's. Without --quick it also rewrites the section of
PACKAGE in benchmarks.md, and its plots.
`

// suite measures one package.
type suite func(ctx context.Context, quick bool) (report, error)

var suites = map[string]suite{"fas": benchFas, "kmsctx": benchKmsctx, "request": benchRequest}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if played, err := play(os.Args, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	} else if played {
		return
	}
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// errUsage comes with the text of the help.
var errUsage = errors.New("not understood")

// run does what the arguments say.
func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	quick := fs.Bool("quick", false, "")
	asJSON := fs.Bool("json", false, "")
	doc := fs.String("doc", filepath.Join("..", "doc"), "")
	// People write the package before the flags and after them.
	var words []string
	for len(args) > 0 {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			_, err = io.WriteString(out, usage)
			return err
		} else if err != nil {
			return fmt.Errorf("%w: %w\n%s", errUsage, err, usage)
		}
		if args = fs.Args(); len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	if len(words) != 1 || suites[words[0]] == nil {
		return fmt.Errorf("%w: one package is needed, not %q\n%s", errUsage, words, usage)
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
	if rep.left != "" {
		fmt.Fprintf(os.Stderr, "bench: %s: %s\n", name, rep.left)
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
