package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// On a terminal progress is said without being asked for, and only there.
func TestProgressOnTerminal(t *testing.T) {
	t.Parallel()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer screen.Close()
	fd := int(screen.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	k := keyFile(t, "k", 1)
	c := exec.Command(binary(t), "seal", "--kms", k, "--context", "tenant=a")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	c.Stdout, c.Stderr = &out, tty
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	plain := strings.Repeat("x", 2<<20)
	for _, part := range []string{plain[:1<<20], plain[1<<20:]} {
		if _, err := io.WriteString(in, part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
	}
	in.Close()
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 64<<10)
	got, err := screen.Read(said)
	if s := string(said[:got]); err != nil || !strings.Contains(s, "\r2 MiB ") && !strings.Contains(s, "\r1 MiB ") {
		t.Errorf("the terminal shows %q, %v", s, err)
	}
	if code, plain2, errOut := try([]byte(out.String()), "open", "--kms", k, "--context", "tenant=a"); code != 0 || plain2 != plain {
		t.Errorf("the output is something else: code %d, %s", code, errOut)
	}
}
