package main

import (
	"context"

	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
)

type gallery struct {
	p    *printer
	st   *stack.Stack
	a, b *side
	sum  *summary
}

func (g *gallery) run(context.Context) error { return nil }
func (g *gallery) auditAttacks(string) error { return nil }
