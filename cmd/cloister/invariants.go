package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/cloisterdev/cloister/invariant"
)

func invariants(args []string, out io.Writer) error {
	switch {
	case len(args) == 1 && asksForHelp(args[0]):
		return groupHelp(out, "invariants")
	case len(args) == 0:
		return invariant.WriteMarkdown(out)
	case len(args) == 1 && args[0] == "--json":
		return json.NewEncoder(out).Encode(invariant.Rooms())
	}
	usage := fmt.Errorf("%w: cloister invariants [--json]", errUsage)
	if args[0] == "--json" {
		return stray(usage, args[1])
	}
	return stray(usage, args[0])
}
