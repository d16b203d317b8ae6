package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
)

// TestMain lets the test binary be every process of the service, as the
// program is: the stack starts its own executable in a role.
func TestMain(m *testing.M) {
	journalOptions = mortal
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

// logs keeps what the processes wrote, for the tests that look into it.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func testContext(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// startStack starts every process of the service on a directory of its own.
func startStack(t *testing.T) (*stack.Stack, *logs) {
	t.Helper()
	return startStackIn(t, t.TempDir())
}

func startStackIn(t *testing.T, dir string) (*stack.Stack, *logs) {
	t.Helper()
	out := &logs{}
	st, err := stack.Start(testContext(t, 30*time.Second), stack.Config{Dir: dir, Log: out})
	if err != nil {
		t.Fatalf("start: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		st.Stop()
		if t.Failed() {
			t.Logf("processes wrote:\n%s", out)
		}
	})
	return st, out
}

// newSide settles a tenant whose code is the files given, by name.
func newSide(t *testing.T, st *stack.Stack, name string, files map[string]string) *side {
	t.Helper()
	root := t.TempDir()
	for n, content := range files {
		p := filepath.Join(root, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &side{name: name, root: root, sub: []string{"."}}
	if err := s.settle(testContext(t, time.Minute), st); err != nil {
		t.Fatal(err)
	}
	return s
}

// corpus makes n small Go files whose names and literals carry the mark: what
// appears in an answer says whose code it came from.
func corpus(mark string, n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("pkg%d/file%d.go", i%3, i)] = fmt.Sprintf(`package pkg%d

// Lookup%[3]s%[2]d finds the entry of %[3]s number %[2]d.
func Lookup%[3]s%[2]d(key string) (string, error) {
	value, ok := table%[3]s[key]
	if !ok {
		return "", errors.New("%[3]s-missing-%[2]d")
	}
	return value + "-%[3]s-%[2]d", nil
}
`, i%3, i, mark)
	}
	return out
}
