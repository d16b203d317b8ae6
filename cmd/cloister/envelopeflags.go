package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/cloisterdev/cloister/kmsctx"
)

// maxFrame is the longest frame that a message may be written with, in bytes.
const maxFrame = 16 << 20

// envelopeArgs are the flags of seal, open and rewrap.
type envelopeArgs struct {
	from, to                       keyArgs
	pairs, toPairs, withhold       list
	suite, out                     string
	frame                          int
	unframed, progress, headerOnly bool
}

type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// flags are those that the command has: one that it would pass over is an error.
func (a *envelopeArgs) flags(command string) *flag.FlagSet {
	fs := flag.NewFlagSet(command, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&a.from.spec, "kms", "", "")
	fs.StringVar(&a.from.root, "root-key", "", "")
	fs.StringVar(&a.from.name, "key", "", "")
	fs.Var(&a.from.tokens, "grant-token", "")
	fs.Var(&a.pairs, "context", "")
	fs.Var(&a.withhold, "withhold", "")
	fs.StringVar(&a.out, "o", "", "")
	fs.BoolVar(&a.progress, "progress", false, "")
	if command != "open" {
		fs.StringVar(&a.suite, "suite", "", "")
		fs.IntVar(&a.frame, "frame", a.frame, "")
	}
	if command != "seal" {
		fs.BoolVar(&a.unframed, "unframed", false, "")
	}
	if command == "rewrap" {
		fs.StringVar(&a.to.spec, "to-kms", "", "")
		fs.StringVar(&a.to.root, "to-root-key", "", "")
		fs.StringVar(&a.to.name, "to-key", "", "")
		fs.Var(&a.to.tokens, "to-grant-token", "")
		fs.Var(&a.toPairs, "to-context", "")
		fs.BoolVar(&a.headerOnly, "header-only", false, "")
	}
	return fs
}

// contexts are what the message is bound to, and what rewrap binds it to. They
// and the flags of the new key are checked before anything is opened.
func (a *envelopeArgs) contexts(command string) (ec, to kmsctx.Context, err error) {
	if ec, err = contextOf("--context", a.pairs, a.withhold); err != nil || command != "rewrap" {
		return ec, ec, err
	}
	if a.to.spec == "" && len(a.toPairs) == 0 {
		return ec, to, fmt.Errorf("%w: cloister rewrap needs --to-kms, --to-context, or both", errUsage)
	}
	if to = ec; len(a.toPairs) > 0 {
		if to, err = contextOf("--to-context", a.toPairs, a.withhold); err != nil {
			return ec, to, err
		}
	}
	if a.to.spec != "" {
		return ec, to, a.to.check("--to-")
	}
	if a.to.root != "" || a.to.name != "" || len(a.to.tokens) > 0 {
		return ec, to, fmt.Errorf("%w: --to-root-key, --to-key and --to-grant-token belong to --to-kms", errUsage)
	}
	a.to = a.from
	return ec, to, nil
}

// contextOf takes any context that the format can carry: other programs write
// and read these messages too. What is withheld must be among its keys.
func contextOf(name string, pairs, withheld []string) (kmsctx.Context, error) {
	m := map[string]string{}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if _, twice := m[k]; !ok || k == "" || twice {
			return kmsctx.Context{}, fmt.Errorf("%w: %s wants k=v, each key once", errUsage, name)
		}
		m[k] = v
	}
	for _, k := range withheld {
		if _, ok := m[k]; !ok {
			return kmsctx.Context{}, fmt.Errorf("%w: --withhold %q needs the value of that key too, with %s", errUsage, k, name)
		}
	}
	return kmsctx.ForeignContext(m)
}
