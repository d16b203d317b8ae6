//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/kmsctx/localkms"
)

// A command that waits for its input ends when it is interrupted, and leaves
// no plaintext behind.
func TestInterruptedReader(t *testing.T) {
	t.Parallel()
	bin, k := binary(t), keyFile(t, "k", 1)
	_, message, _ := try(bytes.Repeat([]byte("x"), 1<<20), "seal", "--kms", k, "--context", "tenant=a")
	dir := t.TempDir()
	c := exec.Command(bin, "open", "--kms", k, "--context", "tenant=a", "-o", filepath.Join(dir, "plain"))
	var errOut bytes.Buffer
	c.Stderr = &errOut
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte(message[:512<<10])); err != nil {
		t.Fatal(err)
	}
	files := func() int {
		all, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	for start := time.Now(); files() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal("no temporary file")
		}
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
	_ = c.Wait()
	if !late.Stop() {
		t.Error("it went on waiting for its input")
	}
	if code := c.ProcessState.ExitCode(); code != 130 || files() != 0 || !strings.HasSuffix(errOut.String(), "cloister: interrupted\n") {
		t.Errorf("code %d, %d files left; %q", code, files(), errOut.String())
	}
}

// Nor does a command go on that has nothing to put away.
func TestInterruptedElsewhere(t *testing.T) {
	t.Parallel()
	bin, fifo := binary(t), filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		c := exec.Command(bin, "profile", "show", fifo)
		var errOut bytes.Buffer
		c.Stderr = &errOut
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits until it reads
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		late.Stop()
		w.Close()
		if code := c.ProcessState.ExitCode(); code != 130 || errOut.String() != "cloister: interrupted\n" {
			t.Errorf("%s: code %d, %q", sig, code, errOut.String())
		}
	}
}

// A file of secrets that others can read is refused, wherever it is named.
func TestSecretsOthersCanRead(t *testing.T) {
	t.Parallel()
	k := keyFile(t, "k", 1)
	path := strings.TrimPrefix(k, "raw:")
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o400: 0, 0o640: 1, 0o604: 1, 0o620: 1} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		code, out, errOut := try([]byte("text"), "seal", "--kms", k, "--context", "tenant=a")
		if code != want || want == 1 && (out != "" || !strings.Contains(errOut, "others can")) {
			t.Errorf("mode %04o: code %d, %s", mode, code, errOut)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := try([]byte("text"), "seal", "--kms", k, "--context", "tenant=a"); code != 1 || !strings.Contains(errOut, "more than") {
		t.Errorf("a large key file: code %d, %s", code, errOut)
	}
}

type lastEvent struct {
	audit.Recorder
	e audit.Event
}

func (l *lastEvent) Record(_ context.Context, e audit.Event) error { l.e = e; return nil }

// What does not fit into a record is there by its digest, so that a long pair
// hides nothing behind it.
func TestLongContextRecorded(t *testing.T) {
	t.Parallel()
	var log lastEvent
	for tenant, long := range map[string]string{"a": "x", "b": strings.Repeat("x", 8000)} {
		pairs := map[string]string{"0": long, "tenant": tenant}
		must := contextText(pairs)
		if err := (kmsAudit{&log}).Record(context.Background(), localkms.Event{Operation: "Decrypt", Context: pairs, Grantee: "arn:aws:iam::000000000000:user/u"}); err != nil {
			t.Fatal(err)
		}
		got := log.e.Detail["context"]
		digest := fmt.Sprintf("%x", sha256.Sum256([]byte(must)))
		if got != must && !strings.HasSuffix(got, digest) || len(got) > 1024 || log.e.Detail["grantee"] == "" {
			t.Errorf("%s: %q", tenant, log.e.Detail)
		}
	}
}

// A file that -o names is made or replaced; what is no file is left alone.
func TestOutputIsNoFile(t *testing.T) {
	t.Parallel()
	k, dir := keyFile(t, "k", 1), t.TempDir()
	fifo, sub := filepath.Join(dir, "fifo"), filepath.Join(dir, "sub")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.Mkdir(sub, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, sub} {
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		code, _, _ := try([]byte("text"), "seal", "--kms", k, "--context", "tenant=a", "-o", path)
		after, err := os.Lstat(path)
		if err != nil || code != 1 || !os.SameFile(before, after) {
			t.Errorf("%s: code %d, %v", path, code, err)
		}
	}
	// A link is replaced, not followed.
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("mine"), 0o644), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := try([]byte("text"), "seal", "--kms", k, "--context", "tenant=a", "-o", link)
	b, err := os.ReadFile(target)
	info, lerr := os.Lstat(link)
	if code != 0 || err != nil || string(b) != "mine" || lerr != nil || info.Mode() != 0o600 {
		t.Errorf("link: code %d, %s, %q, %v", code, errOut, b, errors.Join(err, lerr))
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 4 {
		t.Errorf("left over: %v, %v", all, err)
	}
}
