package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/workflow"
)

// deathList tells the front end's process of a test after which of its next
// journal writes it dies: one number a life.
func deathList(data string) string { return filepath.Join(data, "deaths") }

// mortal makes a journal whose process kills itself as the death list says.
func mortal(data string) *workflow.Options {
	return &workflow.Options{AfterWrite: func(int) {
		b, err := os.ReadFile(deathList(data))
		if err != nil {
			return
		}
		var next int
		first, rest, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
		if _, err := fmt.Sscan(first, &next); err != nil {
			panic(err)
		}
		if next > 1 {
			if err := os.WriteFile(deathList(data), fmt.Appendf(nil, "%d %s", next-1, rest), 0o600); err != nil {
				panic(err)
			}
			return
		}
		if rest == "" {
			err = os.Remove(deathList(data))
		} else {
			err = os.WriteFile(deathList(data), []byte(rest), 0o600)
		}
		if err != nil {
			panic(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}}
}

// TestCrashAfterEveryWrite kills the control plane after each of its journal
// writes: of an ingestion and of a deletion, once, and once more after the
// first write of the next life. CLOISTER_KILLS asks for every write; without
// it every fourth is tried.
func TestCrashAfterEveryWrite(t *testing.T) {
	st, _ := startStack(t)
	ctx := testContext(t, 20*time.Minute)
	s := newSide(t, st, "crash", corpus("Mark11zq", 12))
	step := 4
	if os.Getenv("CLOISTER_KILLS") != "" {
		step = 1
	}
	for _, op := range []string{"ingest", "delete"} {
		for _, again := range []string{"", " 1"} {
			survived := false
			n := 1
			for ; !survived; n += step {
				if n > 60 {
					t.Fatalf("%s: no end of writes", op)
				}
				survived = dieAfter(ctx, t, st, s, op, fmt.Sprint(n, again))
			}
			if n-step < 3 {
				t.Errorf("%s: only %d writes: nothing was interrupted", op, n-step)
			}
			t.Logf("%s%s: survived with death %d ahead", op, again, n-step)
		}
	}
	st.Stop()
	if rep, err := audit.Verify(auditDir(st.Dir()), nil); err != nil {
		t.Errorf("the audit log after the crashes: %v %v", rep, err)
	}
}

// quiet waits until no write has counted for a while: the journal's last ones
// come after the row is finished.
func quiet(list string) {
	for last, now := "", "-"; last != now; {
		time.Sleep(250 * time.Millisecond)
		b, _ := os.ReadFile(list)
		last, now = now, string(b)
	}
}

// dieAfter does one operation under a death list, and reports whether the
// operation ended before the list did.
func dieAfter(ctx context.Context, t *testing.T, st *stack.Stack, s *side, op, list string) bool {
	t.Helper()
	arn := ""
	if op != "ingest" {
		arn = ready(ctx, t, s)
	}
	if err := os.WriteFile(deathList(st.Dir()), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	act(ctx, s, op, arn)
	for range 2 {
		if err := settled(ctx, st, s); err != nil {
			t.Fatalf("%s, killed after write %s: %v", op, list, err)
		}
		quiet(deathList(st.Dir()))
	}
	err := os.Remove(deathList(st.Dir()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	clean(ctx, t, s)
	return err == nil
}
