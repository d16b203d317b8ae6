//go:build unix

// Command retrieval searches the one collection that a session opens.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/cloisterdev/cloister/examples/quickstart/internal/served"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/retrieval"
)

var code = retrieval.Document{Path: "net/dial.go", Text: []byte(`package net

// DialTimeout connects, or gives up.
func DialTimeout(address string) error { return openConnection(address) }
`)}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	w, err := served.Start(ctx, code)
	if err != nil {
		return err
	}
	defer w.Close()

	// Open has no parameter for a collection: the session is all that names one.
	list, err := w.Ask(ctx, "ListAvailableCustomizations")
	if err != nil {
		return err
	}
	if _, err := retrieval.Open(ctx, list, w.Collections); !errors.Is(err, retrieval.ErrBinding) {
		return fmt.Errorf("a list call opened a collection: %w", err)
	}
	fmt.Println("refused: a session of a list call")

	s, err := w.Ask(ctx, "GetRetrievals")
	if err != nil {
		return err
	}
	r, err := retrieval.Open(ctx, s, w.Collections)
	if err != nil {
		return err
	}
	defer r.Close()
	found, err := r.Query(ctx, retrieval.Query{Text: "dial with a timeout", K: 1})
	if err != nil {
		return err
	}
	for _, h := range found.Hits {
		fmt.Printf("found: %s, lines %d to %d\n", h.Path, h.StartLine, h.EndLine)
	}
	prompt, err := retrieval.BuildPrompt("func connect() {\n\t", "", found.Hits...)
	if err != nil {
		return err
	}
	fmt.Println("chunks in the prompt:", len(prompt.Chunks))
	if err := s.Close(); err != nil {
		return err
	}
	if _, err := r.Query(ctx, retrieval.Query{Text: "dial"}); !errors.Is(err, fas.ErrClosed) {
		return fmt.Errorf("a closed session still searches: %w", err)
	}
	return nil
}
