package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
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
	if err := seal.Wait(); err != nil {
		t.Error("seal: ", err)
	}
	if err := open.Wait(); err != nil {
		t.Error("open: ", err)
	}
	if int64(got) != size {
		t.Errorf("%d bytes of %d came back", got, size)
	}
	for _, c := range []*exec.Cmd{seal, open} {
		u, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
		if !ok {
			t.Skip("the system does not say what a process used")
		}
		if u.Maxrss > 32<<10 {
			t.Errorf("%s held %d KiB", c.Args[1], u.Maxrss)
		}
		t.Logf("%s: %d MiB, at most %d KiB resident", c.Args[1], size>>20, u.Maxrss)
	}
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

type counter int64

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }
