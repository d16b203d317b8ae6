package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

func event(reason string) audit.Event {
	return audit.Event{Kind: "test.event", Decision: audit.Deny, Reason: reason, Tenant: tenant.NewID(), Detail: map[string]string{"name": "<script>\x1b[31m"}}
}

func write(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := l.Record(context.Background(), event("because")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Checkpoints come when they are due, however long records may wait for their
// fsync.
func TestCheckpointInterval(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := audit.Open(dir, &audit.Options{FlushInterval: time.Hour, CheckpointInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err := l.Append(t.Context(), event("because")); err != nil {
			t.Fatal(err)
		}
		if rep, err := audit.Verify(dir, nil); err == nil && rep.Records > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("no checkpoint")
		}
	}
}

func TestVerifyAndReopen(t *testing.T) {
	dir := write(t, 10)
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if err := l.Record(context.Background(), event("more")); err != nil {
					t.Error(err)
				}
				if err := l.Append(context.Background(), event("more")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := audit.Open(dir, nil); !errors.Is(err, audit.ErrLocked) {
		t.Errorf("a second writer: %v", err)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(context.Background(), event("late")); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("after close: %v", err)
	}
	rep, err := audit.Verify(dir, nil)
	if err != nil || rep.Records != 330 || rep.Signed != 330 {
		t.Fatalf("%+v, %v", rep, err)
	}
	n := 0
	for e, err := range audit.Read(dir) {
		if err != nil || e.Kind != "test.event" {
			t.Fatal(e, err)
		}
		n++
	}
	if n != 330 {
		t.Errorf("%d events", n)
	}
}

func TestEveryByteCounts(t *testing.T) {
	dir := write(t, 3)
	path := filepath.Join(dir, "records.jsonl")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Verify(dir, nil); !told(err) {
			t.Fatalf("byte %d (%q) is changed: %v", i, good[i], err)
		}
	}
}

// told reports whether an error says that the log is wrong, not that it could
// not be read.
func told(err error) bool {
	return errors.Is(err, audit.ErrTampered) || errors.Is(err, audit.ErrTruncated) || errors.Is(err, audit.ErrNoCheckpoint)
}

func TestTampering(t *testing.T) {
	other := write(t, 5)
	for name, c := range map[string]struct {
		change func(t *testing.T, dir string)
		want   error
	}{
		"last record cut off":  {func(t *testing.T, d string) { lines(t, d, func(l []string) []string { return l[:len(l)-1] }) }, audit.ErrTruncated},
		"all records cut off":  {func(t *testing.T, d string) { lines(t, d, func([]string) []string { return nil }) }, audit.ErrTruncated},
		"first record removed": {func(t *testing.T, d string) { lines(t, d, func(l []string) []string { return l[1:] }) }, audit.ErrTampered},
		"records swapped": {func(t *testing.T, d string) {
			lines(t, d, func(l []string) []string { l[1], l[2] = l[2], l[1]; return l })
		}, audit.ErrTampered},
		"another log's records":    {func(t *testing.T, d string) { copyFile(t, d, other, "records.jsonl") }, audit.ErrTampered},
		"another log's checkpoint": {func(t *testing.T, d string) { copyFile(t, d, other, "checkpoint") }, audit.ErrTampered},
		"another public key":       {func(t *testing.T, d string) { copyFile(t, d, other, "verifier.key") }, audit.ErrTampered},
		"no checkpoint": {func(t *testing.T, d string) {
			if err := os.Remove(filepath.Join(d, "checkpoint")); err != nil {
				t.Fatal(err)
			}
		}, audit.ErrNoCheckpoint},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, 5)
			c.change(t, dir)
			if _, err := audit.Verify(dir, nil); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Nothing follows the last record, so that no later one is broken by what is
// wrong with it.
func TestDigestThatIsTooLong(t *testing.T) {
	for _, c := range []struct {
		digits int
		want   string
	}{{64, "not those that were signed"}, {66, "a record's digest"}, {62, "a record's digest"}} {
		dir := write(t, 2)
		lines(t, dir, func(l []string) []string {
			if strings.Contains(l[1], `"evidence"`) {
				t.Fatal("the record has a digest already")
			}
			l[1] = strings.Replace(l[1], "{", `{"evidence":"`+strings.Repeat("0", c.digits)+`",`, 1)
			return l
		})
		if _, err := audit.Verify(dir, nil); !errors.Is(err, audit.ErrTampered) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d digits: %v", c.digits, err)
		}
	}
}

// The chain ends with the last record: only the signed tree tells that it was
// edited. A log that is opened is signed again, edit and all, unless it is told
// before.
func TestOpenComparesWithTheCheckpoint(t *testing.T) {
	dir := write(t, 3)
	lines(t, dir, func(l []string) []string {
		edited := strings.Replace(l[2], `"deny"`, `"allow"`, 1)
		if edited == l[2] {
			t.Fatalf("no denial in %s", l[2])
		}
		l[2] = edited
		return l
	})
	for _, err := range audit.Read(dir) {
		if err != nil {
			t.Fatalf("the chain: %v", err)
		}
	}
	l, err := audit.Open(dir, nil)
	if !errors.Is(err, audit.ErrTampered) {
		t.Errorf("opened: %v", err)
	}
	if err == nil {
		l.Close()
	}
}

// Read looks at the chain alone, without the signed tree: a record that was
// edited in place is noticed at the next one.
func TestReadFollowsTheChain(t *testing.T) {
	read := func(dir string) (n int, err error) {
		for _, e := range audit.Read(dir) {
			if e != nil {
				return n, e
			}
			n++
		}
		return n, nil
	}
	dir := write(t, 5)
	if n, err := read(dir); n != 5 || err != nil {
		t.Fatalf("an honest log: %d records, %v", n, err)
	}
	lines(t, dir, func(l []string) []string {
		edited := strings.Replace(l[2], `"deny"`, `"allow"`, 1)
		if edited == l[2] {
			if edited = strings.Replace(l[2], `"allow"`, `"deny"`, 1); edited == l[2] {
				t.Fatalf("no decision in %s", l[2])
			}
		}
		l[2] = edited
		return l
	})
	if n, err := read(dir); n != 3 || !errors.Is(err, audit.ErrTampered) {
		t.Errorf("an edited record: %d records, %v", n, err)
	}
}

func lines(t *testing.T, dir string, f func([]string) []string) {
	t.Helper()
	path := filepath.Join(dir, "records.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ls := strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
	ls[len(ls)-1] += "\n"
	if err := os.WriteFile(path, []byte(strings.Join(f(ls), "")), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, to, from, name string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTornTailIsRepairedAndTruncationIsNot(t *testing.T) {
	dir := write(t, 3)
	path := filepath.Join(dir, "records.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"seq":3,"pr`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Record(context.Background(), event("after")), l.Close()); err != nil {
		t.Fatal(err)
	}
	if rep, err := audit.Verify(dir, nil); err != nil || rep.Records != 4 {
		t.Fatal(rep, err)
	}
	lines(t, dir, func(l []string) []string { return l[:2] })
	if _, err := audit.Open(dir, nil); !errors.Is(err, audit.ErrTruncated) {
		t.Errorf("open a log that was cut off: %v", err)
	}
}

func TestEventRules(t *testing.T) {
	l, err := audit.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	many := map[string]string{}
	for i := range 17 {
		many[strings.Repeat("a", i+1)] = ""
	}
	for name, change := range map[string]func(*audit.Event){
		"no kind":         func(e *audit.Event) { e.Kind = "" },
		"kind with space": func(e *audit.Event) { e.Kind = "a b" },
		"no reason":       func(e *audit.Event) { e.Reason = "" },
		"no decision":     func(e *audit.Event) { e.Decision = "" },
		"profile not hex": func(e *audit.Event) { e.Profile = "zz" },
		"many details":    func(e *audit.Event) { e.Detail = many },
		"long detail":     func(e *audit.Event) { e.Detail = map[string]string{"a": strings.Repeat("x", 1025)} },
		"bad detail key":  func(e *audit.Event) { e.Detail = map[string]string{"A": ""} },
	} {
		e := event("because")
		change(&e)
		if err := l.Record(context.Background(), e); !errors.Is(err, audit.ErrEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A log whose signing key is gone is not written on, and nothing that verifies it
// is overwritten; with the key it goes on.
func TestSigningKeyIsGone(t *testing.T) {
	dir := write(t, 2)
	key := filepath.Join(dir, "signing.key")
	public, err := os.ReadFile(filepath.Join(dir, "verifier.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(key, key+"-away"); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"", "checkpoint", "records.jsonl"} {
		if gone != "" {
			if err := os.Rename(filepath.Join(dir, gone), filepath.Join(dir, gone+"-away")); err != nil {
				t.Fatal(err)
			}
		}
		if l, err := audit.Open(dir, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "signing.key") || l != nil {
			t.Errorf("without %q too: %v", gone, err)
		}
		if gone != "" {
			if err := os.Rename(filepath.Join(dir, gone+"-away"), filepath.Join(dir, gone)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if now, err := os.ReadFile(filepath.Join(dir, "verifier.key")); err != nil || !bytes.Equal(now, public) {
		t.Errorf("the public key was overwritten: %v", err)
	}
	if err := os.Rename(key+"-away", key); err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Record(t.Context(), event("after")), l.Close()); err != nil {
		t.Fatal(err)
	}
	if r, err := audit.Verify(dir, &audit.VerifyOptions{PublicKey: strings.TrimSpace(string(public))}); err != nil || r.Signed != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// The longest event that is accepted can be written and read: one that could
// not would end the log.
func TestLongestEvent(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, worst := range []string{"\x00", "\xff", `"`, "\\", "\U0010ffff", "\u2028", "<"} {
		e := event("because")
		e.Kind, e.Reason = strings.Repeat("k", 64), strings.Repeat("r", 64)
		e.Evidence, e.Scope = [32]byte{1}, [32]byte{1}
		e.PolicyRevision, e.Profile = strings.Repeat("a", 64), strings.Repeat("b", 64)
		e.Detail = map[string]string{}
		for i := range 16 {
			e.Detail[strings.Repeat("a", 17+i)] = strings.Repeat(worst, 1024/len(worst))
		}
		if err := l.Record(t.Context(), e); err != nil {
			t.Errorf("%q: %v", worst, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := audit.Verify(dir, nil); err != nil || r.Signed != 7 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A checkpoint that cannot be written refuses what comes next, and no more once
// it can be: nothing that was answered is lost, and nothing ends for good.
func TestCheckpointThatFailsIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(dir, &audit.Options{FlushInterval: 5 * time.Millisecond, CheckpointInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Record(t.Context(), event("before")); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(dir, "checkpoint.tmp")
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Checkpoint(t.Context()); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("a checkpoint that was not written: %v", err)
	}
	for _, f := range []func(context.Context, audit.Event) error{l.Record, l.Append} {
		if err := f(t.Context(), event("meanwhile")); !errors.Is(err, audit.ErrUnavailable) {
			t.Errorf("a record meanwhile: %v", err)
		}
	}
	if err := l.Checkpoint(t.Context()); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("the second attempt: %v", err)
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); l.Record(t.Context(), event("after")) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not recover")
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := audit.Verify(dir, nil); err != nil || r.Signed != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A log whose last checkpoint was not written says so when it is closed.
func TestCloseTellsOfTheCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Record(t.Context(), event("because")), os.Mkdir(filepath.Join(dir, "checkpoint.tmp"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err == nil {
		t.Error("closed without a word")
	}
}

func TestDetailIsHarmless(t *testing.T) {
	dir := write(t, 1)
	b, err := os.ReadFile(filepath.Join(dir, "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.ContainsAny(b, "\x1b<") {
		t.Errorf("raw control or markup in %s", b)
	}
}

func FuzzVerify(f *testing.F) {
	dir := write(f, 2)
	b, err := os.ReadFile(filepath.Join(dir, "records.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	path := filepath.Join(dir, "records.jsonl")
	f.Fuzz(func(t *testing.T, in []byte) {
		if err := os.WriteFile(path, in, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Verify(dir, nil); err == nil && !bytes.HasPrefix(in, b) {
			t.Errorf("accepted %q", in)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	l, err := audit.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Record(context.Background(), event("x")); err != nil {
				b.Error(err)
			}
		}
	})
}

func ExampleVerify() {
	dir, _ := os.MkdirTemp("", "audit")
	defer os.RemoveAll(dir)
	_, err := audit.Verify(dir, nil)
	fmt.Println(errors.Is(err, audit.ErrNoCheckpoint))
	l, _ := audit.Open(dir, nil)
	_ = l.Record(context.Background(), audit.Event{Kind: "door.open", Decision: audit.Deny, Reason: "no-key"})
	_ = l.Close()
	rep, err := audit.Verify(dir, nil)
	fmt.Println(rep.Records, err)
	// Output:
	// true
	// 1 <nil>
}

// Of what a record has no room for the digest is there, so that two long texts
// are never one; what Clip returns is always accepted.
func TestClip(t *testing.T) {
	t.Parallel()
	if s := strings.Repeat("a", 900); audit.Clip(s) != s || audit.Clip("") != "" {
		t.Error("a text that has room is changed")
	}
	a, b := audit.Clip(strings.Repeat("a", 901)), audit.Clip(strings.Repeat("a", 900)+"b")
	if a == b || !strings.HasPrefix(a, strings.Repeat("a", 900)+"... sha256:") || len(a) > 1024 {
		t.Errorf("%d bytes, the same: %v", len(a), a == b)
	}
}
