package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/cloisterdev/cloister/invariant"
)

func invariants(args []string, out io.Writer) error {
	switch {
	case len(args) == 0:
		return invariant.WriteMarkdown(out)
	case len(args) == 1 && args[0] == "--json":
		return json.NewEncoder(out).Encode(invariant.Rooms())
	}
	return fmt.Errorf("%w: cloister invariants [--json]", errUsage)
}
