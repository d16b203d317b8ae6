//go:build unix

package localkms_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

const (
	childDir  = "LOCALKMS_TEST_DIR"
	childName = "LOCALKMS_TEST_NAME"
)

// The test binary is also the other process of a store.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir, os.Getenv(childName)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child makes grants, retires every second one, and says what it is about to
// do and what is done, until its input ends.
func child(dir, name string) error {
	k, err := localkms.Open(dir, root(1))
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(ended) }()
	for i := 0; ; i++ {
		select {
		case <-ended:
			return nil
		default:
		}
		id, err := k.CreateGrant(ctx, "key", fmt.Sprintf("%s-%d", name, i), pairs("tenant", "a"))
		if err != nil {
			return err
		}
		fmt.Println("made", id)
		if i%2 == 0 {
			continue
		}
		fmt.Println("retiring", id)
		if err := k.RetireGrant(ctx, id); err != nil {
			return err
		}
		fmt.Println("retired", id)
	}
}

// other is a running child and what it said.
type other struct {
	cmd  *exec.Cmd
	in   io.Closer
	said chan string
}

func start(t *testing.T, dir, name string) *other {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childName+"="+name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	o := &other{cmd, in, make(chan string, 1<<16)}
	go func() {
		defer close(o.said)
		for s := bufio.NewScanner(out); s.Scan(); {
			o.said <- s.Text()
		}
	}()
	return o
}

// what maps each grant to the last that was said of it. A line that a kill cut
// off is not said.
func (o *other) what() map[string]string {
	out := map[string]string{}
	for line := range o.said {
		verb, id, ok := strings.Cut(line, " ")
		if ok && len(id) == 32 {
			out[id] = verb
		}
	}
	return out
}

// holds compares a store with what was said; what was being done when a process
// was killed is done or not.
func holds(t *testing.T, k *localkms.KMS, said map[string]string, slack int) {
	t.Helper()
	live := map[string]bool{}
	for _, g := range k.Grants() {
		live[g.ID] = true
	}
	for id, verb := range said {
		switch {
		case verb == "made" && !live[id]:
			t.Errorf("a grant that was made is lost")
		case verb == "retired" && live[id]:
			t.Errorf("a grant that was retired lives")
		}
		delete(live, id)
	}
	if len(live) > slack {
		t.Errorf("%d grants that nobody made", len(live))
	}
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := open(t, dir), ec(t, "tenant", "a")
	must(t, k.EnsureKey(ctx, "key"))
	a, b := start(t, dir, "a"), start(t, dir, "b")
	said := map[string]string{}
	for i := range 30 {
		id := grant(t, k, "key", fmt.Sprint("mine-", i), "tenant", "a")
		said[id] = "made"
		if i%3 == 0 {
			must(t, k.RetireGrant(ctx, id))
			said[id] = "retired"
		}
	}
	// What the others say is so at this store's next call.
	for range 20 {
		verb, id, _ := strings.Cut(<-a.said, " ")
		if verb == "retired" {
			refused(t, k, "retired elsewhere", id, c, nil, localkms.ErrNotAuthorized)
		}
		said[id] = verb
	}
	must(t, errors.Join(a.in.Close(), b.in.Close()))
	for _, o := range []*other{a, b} {
		n := 0
		for id, verb := range o.what() {
			said[id] = verb
			n++
		}
		must(t, o.cmd.Wait())
		if n == 0 {
			t.Error("the other process did nothing")
		}
	}
	holds(t, k, said, 0)
	holds(t, open(t, dir), said, 0)
}

// A key disabled by another process is disabled at the next call.
func TestDisabledElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, c := open(t, dir), ec(t, "tenant", "a")
	g := grant(t, k, "key", "g", "tenant", "a")
	plain, wrapped := generate(t, k, g, c)
	for range 50 {
		must(t, open(t, dir).SetDisabled(ctx, "key", true))
		refused(t, k, "disabled elsewhere", g, c, wrapped, localkms.ErrKeyDisabled)
		must(t, open(t, dir).SetDisabled(ctx, "key", false))
		opens(t, k, "enabled elsewhere", g, c, wrapped, plain)
	}
}

// A process that is killed at any moment loses nothing that it acknowledged,
// and leaves no lock behind.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, open(t, dir).EnsureKey(ctx, "key"))
	said := map[string]string{}
	for i := range 25 {
		o := start(t, dir, fmt.Sprint("life", i))
		line, ok := <-o.said
		if !ok {
			t.Fatal("the child does not start")
		}
		verb, id, _ := strings.Cut(line, " ")
		said[id] = verb
		time.Sleep(time.Duration(i) * 311 * time.Microsecond)
		must(t, o.cmd.Process.Kill())
		for id, verb := range o.what() {
			said[id] = verb
		}
		_ = o.cmd.Wait()
		holds(t, open(t, dir), said, i+1)
	}
}
