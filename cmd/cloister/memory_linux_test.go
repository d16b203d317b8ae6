package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Sealing and opening hold a few frames, whatever the size. CLOISTER_GIB says
// how many GiB go through; without it 1/4.
func TestConstantMemory(t *testing.T) {
	bin, k := binary(t), keyFile(t, "k", 1)
	size := int64(1 << 28)
	if s := os.Getenv("CLOISTER_GIB"); s != "" {
		var gib int64
		if _, err := fmt.Sscan(s, &gib); err != nil || gib < 1 {
			t.Fatalf("CLOISTER_GIB=%q is no number", s)
		}
		size = gib << 30
	}
	seal := exec.Command(bin, "seal", "--kms", k, "--context", "tenant=a")
	open := exec.Command(bin, "open", "--kms", k, "--context", "tenant=a")
	seal.Stdin = io.LimitReader(zeros{}, size)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	seal.Stdout, open.Stdin = w, r
	var got counter
	open.Stdout = &got
	seal.Stderr, open.Stderr = os.Stderr, os.Stderr
	for _, c := range []*exec.Cmd{seal, open} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = r.Close(), w.Close()
	held := [2]func() int{watch(seal.Process.Pid), watch(open.Process.Pid)}
	if err := seal.Wait(); err != nil {
		t.Error("seal: ", err)
	}
	if err := open.Wait(); err != nil {
		t.Error("open: ", err)
	}
	if int64(got) != size {
		t.Errorf("%d bytes of %d came back", got, size)
	}
	for i, c := range []*exec.Cmd{seal, open} {
		kib := held[i]()
		if kib == 0 || kib > 32<<10 {
			t.Errorf("%s held %d KiB", c.Args[1], kib)
		}
		t.Logf("%s: %d MiB, at most %d KiB resident", c.Args[1], size>>20, kib)
	}
}

// watch reads the most that a process has held, until it is gone. What wait4
// says would count the memory of the process that forked it.
func watch(pid int) (most func() int) {
	out, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if err != nil {
				return
			}
			_, rest, ok := strings.Cut(string(b), "VmHWM:")
			if !ok {
				return // it has ended
			}
			var kib int
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				out = max(out, kib)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return func() int { <-done; return out }
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type counter int64

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }
