package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// kills is how many processes a run of TestCrashMatrix kills. CI asks for more
// with CLOISTER_KILLS.
func kills(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("CLOISTER_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		return 6
	}
	return 18
}

// TestCrashMatrix kills each process with SIGKILL at a random moment of an
// ingestion, an activation and a deletion. Whatever was killed when: the world
// is then "done" or "nothing", without staging, half a collection, a grant or a
// row that nobody will ever finish.
func TestCrashMatrix(t *testing.T) {
	st, _ := startStack(t)
	ctx := testContext(t, 20*time.Minute)
	s := newSide(t, st, "crash", corpus("Mark00zq", 12))
	rnd := rand.New(rand.NewPCG(3, 5))
	roles := []string{"front", "firewall", "cloud"}
	did := map[string]int{}
	for i := range kills(t) {
		role, op := roles[i%3], []string{"ingest", "activate", "delete"}[i/3%3]
		arn := ""
		if op != "ingest" {
			arn = ready(ctx, t, s)
		}
		within := 400 * time.Millisecond
		if op != "ingest" {
			within = 25 * time.Millisecond
		}
		delay := time.Duration(rnd.Int64N(int64(within)))
		acted := make(chan struct{})
		go func() {
			defer close(acted)
			act(ctx, s, op, arn) // its answer may be lost with the process
		}()
		time.Sleep(delay)
		if err := st.Kill(role); err != nil {
			t.Fatal(err)
		}
		<-acted
		if err := st.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		did[op+" "+role]++
		if err := settled(ctx, st, s); err != nil {
			t.Fatalf("kill %d of %s during %s after %v: %v", i, role, op, delay, err)
		}
		clean(ctx, t, s)
	}
	t.Logf("%d kills: %v", kills(t), did)
	st.Stop()
	root, err := rootKey(st.Dir())
	if err != nil {
		t.Fatal(err)
	}
	kms, err := localkms.Open(filepath.Join(firewallDir(st.Dir()), "kms"), root)
	if err != nil {
		t.Fatal(err)
	}
	if g := kms.Grants(); len(g) != 0 {
		t.Errorf("every customization is deleted and %d grants live", len(g))
	}
	// Several lives of the firewall wrote one log; it is one chain all the same.
	if rep, err := audit.Verify(auditDir(st.Dir()), nil); err != nil {
		t.Errorf("the audit log after the crashes: %v %v", rep, err)
	}
}

func create(ctx context.Context, s *side) (string, error) {
	var made api.CreateCustomizationResponse
	_, err := s.admin.Call(ctx, "CreateCustomization", map[string]any{"customizationName": "c", "clientToken": unique(),
		"dataReference": s.reference(s.admin.User.Bucket, prefix)}, &made)
	return made.CustomizationARN, err
}

// ready makes a customization that is created and not active.
func ready(ctx context.Context, t *testing.T, s *side) string {
	t.Helper()
	arn, err := create(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := waitFor(ctx, s.admin, arn, nil); err != nil {
		t.Fatal(err)
	}
	return arn
}

func act(ctx context.Context, s *side, op, arn string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	switch op {
	case "ingest":
		_, _ = create(ctx, s)
	case "activate":
		_, _ = s.admin.Call(ctx, "UpdateCustomization", map[string]any{"identifier": arn, "operation": "ACTIVATE", "clientToken": unique()}, nil)
	case "delete":
		_, _ = s.admin.Call(ctx, "DeleteCustomization", map[string]any{"identifier": arn, "clientToken": unique()}, nil)
	}
}

func rows(ctx context.Context, s *side) ([]api.CustomizationSummary, error) {
	var out api.ListCustomizationsResponse
	_, err := s.admin.Call(ctx, "ListCustomizations", map[string]any{"nonce": unique()}, &out)
	return out.Customizations, err
}

// settled waits until no row is under way and then counts what is on disk.
func settled(ctx context.Context, st *stack.Stack, s *side) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		if last = world(ctx, st, s); last == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the world did not settle: %w", last)
}

func world(ctx context.Context, st *stack.Stack, s *side) error {
	list, err := rows(ctx, s)
	if err != nil {
		return err
	}
	done := 0
	for _, r := range list {
		switch fas.State(r.Status) {
		case fas.Created, fas.Activated:
			done++
		case fas.CreationFailed:
		default:
			return fmt.Errorf("a row is %s", r.Status)
		}
	}
	staging, err := os.ReadDir(filepath.Join(st.Dir(), "front", "staging"))
	if err != nil {
		return err
	}
	if len(staging) != 0 {
		return fmt.Errorf("%d staging files", len(staging))
	}
	folders, err := filepath.Glob(filepath.Join(st.Dir(), "front", "collections", "*", "*"))
	if err != nil {
		return err
	}
	if len(folders) != done {
		return fmt.Errorf("%d finished customizations, files: %s", done, strings.Join(folders, " "))
	}
	return nil
}

// clean deletes every row, which must work in whatever state a crash left them.
func clean(ctx context.Context, t *testing.T, s *side) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		list, err := rows(ctx, s)
		if err == nil && len(list) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("rows cannot be deleted: %v %v", list, err)
		}
		for _, r := range list {
			id := map[string]any{"identifier": r.ARN, "clientToken": unique()}
			if fas.State(r.Status) == fas.Activated {
				id["operation"] = "DEACTIVATE"
				_, _ = s.admin.Call(ctx, "UpdateCustomization", id, nil)
				continue
			}
			_, _ = s.admin.Call(ctx, "DeleteCustomization", id, nil)
		}
	}
}
