package workflow

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "crash-child" {
		os.Exit(crashChild(os.Args[2:]))
	}
	os.Exit(m.Run())
}

var fast = &Options{Backoff: time.Millisecond}

func open(t *testing.T, path string, o *Options) *Journal {
	t.Helper()
	j, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func temp(t *testing.T) string { return filepath.Join(t.TempDir(), "journal") }

func nothing(context.Context, *Run) error { return nil }

// trace records what steps do.
type trace struct {
	mu  sync.Mutex
	did []string
}

func (tr *trace) add(s string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.did = append(tr.did, s)
}

func (tr *trace) step(name string, do, undo func() error) Step {
	return Step{Name: name, Do: func(context.Context, *Run) error {
		tr.add(name)
		if do != nil {
			return do()
		}
		return nil
	}, Undo: func(context.Context, *Run) error {
		tr.add("-" + name)
		if undo != nil {
			return undo()
		}
		return nil
	}}
}

func TestDefineRefusals(t *testing.T) {
	j := open(t, temp(t), nil)
	ok := Step{Name: "a", Do: nothing}
	for name, c := range map[string]struct {
		name  string
		steps []Step
	}{
		"no name":          {"", []Step{ok}},
		"bad name":         {"A b", []Step{ok}},
		"no steps":         {"w", nil},
		"many steps":       {"w", make([]Step, 65)},
		"unnamed step":     {"w", []Step{{Do: nothing}}},
		"no do":            {"w", []Step{{Name: "a"}}},
		"twice":            {"w", []Step{ok, ok}},
		"bad attempts":     {"w", []Step{{Name: "a", Do: nothing, Attempts: -1}}},
		"negative timeout": {"w", []Step{{Name: "a", Do: nothing, Timeout: -1}}},
	} {
		if err := j.Define(c.name, c.steps...); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := j.Define("w", ok); err != nil {
		t.Fatal(err)
	}
	if err := j.Define("w", ok); !errors.Is(err, ErrConfig) {
		t.Errorf("defined twice: %v", err)
	}
	if _, err := Open(temp(t), &Options{Backoff: -1}); !errors.Is(err, ErrConfig) {
		t.Errorf("options: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	ctx, path := t.Context(), temp(t)
	j := open(t, path, fast)
	if err := j.Define("w", Step{Name: "a", Do: nothing}); err != nil {
		t.Fatal(err)
	}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := Open(path, nil)
	check("second owner", err, ErrLocked)
	check("undefined", j.Start(ctx, "x", "id", nil), ErrUndefined)
	check("bad ID", j.Start(ctx, "w", "name of a tenant", nil), ErrConfig)
	check("large", j.Start(ctx, "w", "id", make([]byte, MaxState+1)), ErrState)
	check("cancel unknown", j.Cancel(ctx, "id"), ErrUnknown)
	_, err = j.Wait(ctx, "id")
	check("wait unknown", err, ErrUnknown)
	_, err = j.Status("id")
	check("status unknown", err, ErrUnknown)
	check("forget unknown", j.Forget("id"), ErrUnknown)
	dead, cancel := context.WithCancel(ctx)
	cancel()
	check("dead context", j.Start(dead, "w", "id", nil), context.Canceled)
	check("dead context", j.Resume(dead), context.Canceled)
	check("dead context", j.Cancel(dead, "id"), context.Canceled)
	if err := j.Start(ctx, "w", "id", []byte("h")); err != nil {
		t.Fatal(err)
	}
	if s, err := j.Wait(ctx, "id"); err != nil || s.State != Completed || string(s.Data) != "h" {
		t.Errorf("%+v %v", s, err)
	}
	check("same start", j.Start(ctx, "w", "id", []byte("h")), nil)
	check("other input", j.Start(ctx, "w", "id", []byte("g")), ErrExists)
	check("late cancel", j.Cancel(ctx, "id"), ErrFinished)
	check("forget", j.Forget("id"), nil)
	check("forgotten", j.Forget("id"), ErrUnknown)
	check("close", j.Close(), nil)
	check("close twice", j.Close(), nil)
	check("closed start", j.Start(ctx, "w", "id2", nil), ErrClosed)
	check("closed resume", j.Resume(ctx), ErrClosed)
	check("closed cancel", j.Cancel(ctx, "id"), ErrClosed)
	check("closed forget", j.Forget("id"), ErrClosed)
}

func TestUndoInReverse(t *testing.T) {
	var tr trace
	var events []string
	j := open(t, temp(t), &Options{Backoff: time.Millisecond, OnEvent: func(e Event) { events = append(events, e.Kind) }})
	fails := 0
	last := tr.step("c", func() error { return Fail("quota", errors.New("tenant text")) }, nil)
	last.Attempts = 2
	if err := j.Define("w", tr.step("a", nil, nil), tr.step("b", nil, func() error {
		if fails++; fails < 3 {
			return errors.New("not yet")
		}
		return nil
	}), last, tr.step("d", nil, nil)); err != nil {
		t.Fatal(err)
	}
	if err := j.Start(t.Context(), "w", "id", nil); err != nil {
		t.Fatal(err)
	}
	s, err := j.Wait(t.Context(), "id")
	if !errors.Is(err, ErrUndone) || s.State != Undone || s.Reason != "quota" || strings.Contains(err.Error(), "tenant text") {
		t.Errorf("%+v %v", s, err)
	}
	if got := strings.Join(tr.did, " "); got != "a b c c -c -b -b -b -a" {
		t.Error(got)
	}
	j.Close()
	want := "start do done do done do failed do giveup undo undone undo undo-failed undo undo-failed undo undone undo undone end"
	if got := strings.Join(events, " "); got != want {
		t.Error(got)
	}
}

func TestPanicAndTimeout(t *testing.T) {
	var tr trace
	j := open(t, temp(t), fast)
	slow := tr.step("s", nil, nil)
	slow.Timeout = time.Millisecond
	slow.Do = func(ctx context.Context, _ *Run) error { <-ctx.Done(); return ctx.Err() }
	for name, s := range map[string]Step{"panic": tr.step("p", func() error { panic("x") }, nil), "timeout": slow} {
		if err := j.Define(name, s); err != nil {
			t.Fatal(err)
		}
		if err := j.Start(t.Context(), name, name, nil); err != nil {
			t.Fatal(err)
		}
		if s, err := j.Wait(t.Context(), name); !errors.Is(err, ErrUndone) || s.Reason != name {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
}

func TestCancelAndStuck(t *testing.T) {
	var tr trace
	path := temp(t)
	opts := &Options{Backoff: time.Millisecond, StuckAfter: 2}
	j := open(t, path, opts)
	begun := make(chan struct{})
	block := tr.step("b", nil, nil)
	block.Do = func(ctx context.Context, r *Run) error {
		r.Progress(1, 3)
		close(begun)
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), ErrCancelled) {
			return errors.New("wrong cause")
		}
		return ctx.Err()
	}
	repaired := make(chan struct{})
	first := tr.step("a", nil, func() error {
		select {
		case <-repaired:
			return nil
		default:
			return Fail("bucket-gone", errors.New("x"))
		}
	})
	define := func(j *Journal) {
		if err := j.Define("w", first, block, tr.step("c", nil, nil)); err != nil {
			t.Fatal(err)
		}
	}
	define(j)
	if err := j.Start(t.Context(), "w", "id", nil); err != nil {
		t.Fatal(err)
	}
	<-begun
	if s, _ := j.Status("id"); s.Done != 1 || s.Total != 3 || s.Step != "b" {
		t.Errorf("%+v", s)
	}
	if err := j.Forget("id"); !errors.Is(err, ErrUnfinished) {
		t.Errorf("forget: %v", err)
	}
	for range 2 {
		if err := j.Cancel(t.Context(), "id"); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(j *Journal) {
		for end := time.Now().Add(5 * time.Second); len(j.Stuck()) == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("never stuck")
			}
		}
	}
	wait(j)
	if s := j.Stuck()[0]; s.Step != "a" || !s.Cancelled || s.State != Undoing {
		t.Errorf("%+v", s)
	}
	j.Close()
	// It is still stuck in the next process, and Resume without the definition refuses.
	j = open(t, path, opts)
	if err := j.Resume(t.Context()); !errors.Is(err, ErrUndefined) {
		t.Errorf("resume: %v", err)
	}
	if len(j.Stuck()) != 1 {
		t.Error("forgot that it was stuck")
	}
	define(j)
	if err := j.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(repaired)
	if s, err := j.Wait(t.Context(), "id"); !errors.Is(err, ErrUndone) || s.Reason != "cancelled" {
		t.Errorf("%+v %v", s, err)
	}
	if len(j.Stuck()) != 0 || slices.Contains(tr.did, "c") {
		t.Error(tr.did)
	}
}

func TestChangedDefinition(t *testing.T) {
	path := temp(t)
	j := open(t, path, fast)
	hold := Step{Name: "a", Do: func(ctx context.Context, _ *Run) error { <-ctx.Done(); return ctx.Err() }}
	if err := j.Define("w", hold); err != nil {
		t.Fatal(err)
	}
	if err := j.Start(t.Context(), "w", "id", nil); err != nil {
		t.Fatal(err)
	}
	j.Close()
	j = open(t, path, fast)
	if err := j.Define("w", Step{Name: "b", Do: nothing}); err != nil {
		t.Fatal(err)
	}
	if err := j.Resume(t.Context()); !errors.Is(err, ErrUndefined) {
		t.Errorf("%v", err)
	}
}

func TestStateAndKey(t *testing.T) {
	j := open(t, temp(t), fast)
	var keys []string
	n := 0
	if err := j.Define("w", Step{Name: "a", Attempts: 2, Do: func(_ context.Context, r *Run) error {
		keys = append(keys, r.Key())
		if err := r.SetState(make([]byte, MaxState+1)); !errors.Is(err, ErrState) {
			t.Errorf("large state: %v", err)
		}
		if n++; n == 1 {
			_ = r.SetState([]byte("saved"))
			if err := r.Save(); err != nil {
				t.Error(err)
			}
			_ = r.SetState([]byte("lost"))
			return errors.New("again")
		}
		if string(r.State()) != "saved" {
			t.Errorf("state %q", r.State())
		}
		return nil
	}}, Step{Name: "b", Do: func(_ context.Context, r *Run) error { keys = append(keys, r.Key()); return nil }}); err != nil {
		t.Fatal(err)
	}
	if err := j.Start(t.Context(), "w", "id", nil); err != nil {
		t.Fatal(err)
	}
	if s, err := j.Wait(t.Context(), "id"); err != nil || string(s.Data) != "saved" {
		t.Errorf("%+v %v", s, err)
	}
	if len(keys) != 3 || keys[0] != keys[1] || keys[1] == keys[2] {
		t.Error(keys)
	}
}

func TestTampering(t *testing.T) {
	key := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	for name, spoil := range map[string]func(run, heads *bbolt.Bucket) error{
		"flipped bit": func(r, _ *bbolt.Bucket) error {
			v := slices.Clone(r.Get(key(1)))
			v[len(v)-3] ^= 1
			return r.Put(key(1), v)
		},
		"cut tail":    func(r, _ *bbolt.Bucket) error { return r.Delete(key(3)) },
		"cut middle":  func(r, _ *bbolt.Bucket) error { return r.Delete(key(1)) },
		"swapped":     func(r, _ *bbolt.Bucket) error { return r.Put(key(1), slices.Clone(r.Get(key(2)))) },
		"short":       func(r, _ *bbolt.Bucket) error { return r.Put(key(1), []byte("x")) },
		"added":       func(r, _ *bbolt.Bucket) error { return r.Put(key(9), slices.Clone(r.Get(key(2)))) },
		"no head":     func(_, h *bbolt.Bucket) error { return h.Delete([]byte("id")) },
		"orphan head": func(_, h *bbolt.Bucket) error { return h.Put([]byte("other"), h.Get([]byte("id"))) },
	} {
		path := temp(t)
		j := open(t, path, fast)
		if err := j.Define("w", Step{Name: "a", Do: nothing}); err != nil {
			t.Fatal(err)
		}
		if err := j.Start(t.Context(), "w", "id", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Wait(t.Context(), "id"); err != nil {
			t.Fatal(err)
		}
		j.Close()
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx *bbolt.Tx) error {
			return spoil(tx.Bucket(runsBucket).Bucket([]byte("id")), tx.Bucket(headsBucket))
		}); err != nil {
			t.Fatal(err)
		}
		db.Close()
		if j, err := Open(path, nil); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
			if j != nil {
				j.Close()
			}
		}
	}
}

// A record is refused for itself, before the head is compared: the first of a
// run is read without the others.
func TestRecordIsStrict(t *testing.T) {
	parse := func(body string) error {
		sum := link([32]byte{}, "id", []byte(body))
		_, _, err := parseRecord([32]byte{}, "id", 7, append(sum[:], body...))
		return err
	}
	if err := parse(`{"seq":7,"kind":"do","time":"2026-01-02T03:04:05Z","step":64}`); err != nil {
		t.Errorf("the control: %v", err)
	}
	for name, body := range map[string]string{
		"another number": `{"seq":8,"kind":"do","time":"2026-01-02T03:04:05Z","step":0}`,
		"step below":     `{"seq":7,"kind":"do","time":"2026-01-02T03:04:05Z","step":-1}`,
		"step above":     `{"seq":7,"kind":"do","time":"2026-01-02T03:04:05Z","step":65}`,
		"unknown field":  `{"seq":7,"kind":"do","time":"2026-01-02T03:04:05Z","step":0,"x":1}`,
		"long data":      `{"seq":7,"kind":"do","time":"2026-01-02T03:04:05Z","step":0,"data":"` + base64.StdEncoding.EncodeToString(make([]byte, MaxState+1)) + `"}`,
		"not JSON":       `x`,
	} {
		if err := parse(body); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sum := link([32]byte{1}, "id", []byte(`{"seq":7,"step":0}`))
	if _, _, err := parseRecord([32]byte{}, "id", 7, append(sum[:], `{"seq":7,"step":0}`...)); !errors.Is(err, ErrTampered) {
		t.Errorf("after another record: %v", err)
	}
}

func TestOrderIsEnforced(t *testing.T) {
	for name, rs := range map[string][]record{
		"no start":     {{Kind: kindDo}},
		"start twice":  {{Kind: kindStart}, {Kind: kindStart}},
		"skipped step": {{Kind: kindStart}, {Kind: kindDo, Step: 1}},
		"done undone":  {{Kind: kindStart}, {Kind: kindDone}},
		"early undo":   {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindUndo}},
		"wrong undo":   {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindGiveUp}, {Kind: kindUndo, Step: 1}},
		"wrong undone": {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindGiveUp}, {Kind: kindUndone, Step: 1}},
		"early undone": {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindUndone}},
		"other done":   {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindDone, Step: 1}},
		"done twice":   {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindDone}, {Kind: kindDone}},
		"late do":      {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindGiveUp}, {Kind: kindDo}},
		"late undo":    {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindDone}, {Kind: kindUndo}},
		"end early":    {{Kind: kindStart}, {Kind: kindDo}, {Kind: kindGiveUp}, {Kind: kindEnd}},
		"after end":    {{Kind: kindStart}, {Kind: kindEnd}, {Kind: kindCancel}},
		"unknown":      {{Kind: kindStart}, {Kind: "x"}},
	} {
		var p progress
		for i, r := range rs {
			err := p.add(r)
			if last := i == len(rs)-1; last != errors.Is(err, ErrTampered) || last != (err != nil) {
				t.Errorf("%s: record %d: %v", name, i, err)
			}
		}
	}
}

// crashChild runs one workflow over a directory of files and kills itself after
// the n-th write, or in the n-th effect when n is negative.
func crashChild(args []string) int {
	dir, scenario := args[0], args[1]
	n, _ := strconv.Atoi(args[2])
	die := func() {
		p, _ := os.FindProcess(os.Getpid())
		_ = p.Kill()
		select {}
	}
	j, err := Open(filepath.Join(dir, "journal"), &Options{Backoff: time.Millisecond, AfterWrite: func(i int) {
		if i == n {
			die()
		}
	}})
	if err != nil {
		fmt.Println(err)
		return 3
	}
	effects := 0
	effect := func(f func() error) error {
		err := f()
		if effects++; effects == -n {
			die()
		}
		return err
	}
	var steps []Step
	for i := range 4 {
		steps = append(steps, Step{
			Name: "s" + strconv.Itoa(i),
			Do: func(ctx context.Context, r *Run) error {
				if i == 2 && scenario == "cancel" {
					if err := j.Cancel(ctx, r.ID()); err != nil {
						return err
					}
				}
				if err := effect(func() error { return os.WriteFile(filepath.Join(dir, "effect-"+r.Key()), nil, 0o600) }); err != nil {
					return err
				}
				if i == 2 && scenario == "fail" {
					return errors.New("no")
				}
				return r.SetState(append(r.State(), byte('0'+i)))
			},
			Undo: func(_ context.Context, r *Run) error {
				return effect(func() error {
					err := os.Remove(filepath.Join(dir, "effect-"+r.Key()))
					if os.IsNotExist(err) {
						return nil
					}
					return err
				})
			},
		})
	}
	ctx := context.Background()
	if err := j.Define("w", steps...); err != nil {
		return 3
	}
	if err := j.Resume(ctx); err != nil {
		return 3
	}
	if err := j.Start(ctx, "w", "id", nil); err != nil {
		return 3
	}
	// A run that was taken back ends with an error and a state; the state counts.
	s, _ := j.Wait(ctx, "id")
	fmt.Println(s.State, string(s.Data))
	if j.Close() != nil {
		return 3
	}
	return 0
}

// TestCrashMatrix kills the process after every journal write and in every
// effect, and looks at the world when the next process has finished.
func TestCrashMatrix(t *testing.T) {
	run := func(dir, scenario string, n int) (int, string) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		p, err := os.StartProcess(os.Args[0], []string{"x", "crash-child", dir, scenario, strconv.Itoa(n)}, &os.ProcAttr{Env: []string{"GORACE=atexit_sleep_ms=0"}, Files: []*os.File{nil, w, os.Stderr}})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 1000)
		k, _ := r.Read(out)
		s, err := p.Wait()
		if err != nil {
			t.Fatal(err)
		}
		return s.ExitCode(), string(out[:k])
	}
	for scenario, want := range map[string]struct {
		effects int
		out     string
	}{"ok": {4, "completed 0123\n"}, "fail": {0, "undone 01\n"}, "cancel": {0, "undone 012\n"}} {
		t.Run(scenario, func(t *testing.T) {
			points := 0
			for _, sign := range []int{1, -1} {
				for n := 1; ; n++ {
					dir := t.TempDir()
					code, out := run(dir, scenario, sign*n)
					crashed := code == -1
					if crashed {
						points++
						// The second process crashes too, in the same place if it gets there.
						run(dir, scenario, sign*n)
						code, out = run(dir, scenario, 0)
					}
					left, _ := filepath.Glob(filepath.Join(dir, "effect-*"))
					state := strings.Fields(out)
					if code != 0 || len(left) != want.effects || len(state) == 0 || state[0] != strings.Fields(want.out)[0] {
						t.Errorf("point %d: exit %d, %d effects left, %q", sign*n, code, len(left), out)
					}
					if !crashed {
						if out != want.out {
							t.Errorf("without a crash: %q", out)
						}
						break
					}
				}
			}
			t.Logf("%d crash points", points)
			if points < 12 {
				t.Errorf("only %d crash points", points)
			}
		})
	}
}

func FuzzRecord(f *testing.F) {
	body := []byte(`{"seq":0,"kind":"start","time":"2026-01-01T00:00:00Z","step":0}`)
	sum := link([32]byte{}, "id", body)
	f.Add(append(sum[:], body...), true)
	f.Add([]byte("x"), false)
	f.Fuzz(func(t *testing.T, b []byte, relink bool) {
		if relink && len(b) >= 32 {
			sum := link([32]byte{}, "id", b[32:])
			b = append(sum[:], b[32:]...)
		}
		r, _, err := parseRecord([32]byte{}, "id", 0, b)
		if err != nil {
			if !errors.Is(err, ErrTampered) {
				t.Error(err)
			}
			return
		}
		var p progress
		if err := p.add(r); err == nil && r.Kind != kindStart {
			t.Error("a run began without a start")
		}
	})
}
