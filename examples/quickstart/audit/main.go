// Command audit writes a log of decisions and finds out that one was changed.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "audit-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := audit.Open(dir, nil)
	if err != nil {
		return err
	}
	who := tenant.NewID()
	err = errors.Join(
		// Record returns when the event is on disk.
		l.Record(ctx, audit.Event{Kind: "door.open", Decision: audit.Allow, Reason: "has-key", Tenant: who}),
		l.Record(ctx, audit.Event{Kind: "door.open", Decision: audit.Deny, Reason: "no-key", Tenant: who}),
		l.Close())
	if err != nil {
		return err
	}
	good, err := audit.Verify(dir, nil)
	if err != nil {
		return err
	}

	path := filepath.Join(dir, "records.jsonl")
	records, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	forged := bytes.Replace(records, []byte(`"deny"`), []byte(`"allow"`), 1)
	if err := os.WriteFile(path, forged, 0o600); err != nil {
		return err
	}
	if _, err := audit.Verify(dir, nil); !errors.Is(err, audit.ErrTampered) {
		return fmt.Errorf("a denial could be made an allow: %w", err)
	}
	fmt.Println("refused: a log in which a denial became an allow")

	if err := os.WriteFile(path, records, 0o600); err != nil {
		return err
	}
	for e, err := range audit.Read(dir) {
		if err != nil {
			return err
		}
		fmt.Println(e.Kind, e.Decision, e.Reason)
	}
	// Keep the key and the root elsewhere; they are what a forger cannot redo.
	fmt.Printf("verified: %d records, all signed: %v\n", good.Records, good.Signed == good.Records)
	return nil
}
