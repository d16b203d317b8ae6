package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestConfine starts a process as a tier wants it, lets it confine itself, and
// looks at it from outside and from inside.
func TestConfine(t *testing.T) {
	for _, tier := range []Tier{TierConfined, TierNamespaced} {
		t.Run(tier.String(), func(t *testing.T) {
			needTier(t, tier)
			out, tell := confined(t, tier, tier)
			line, err := out.ReadString('\n')
			if err != nil || line != "confined\n" {
				rest, _ := io.ReadAll(out)
				t.Fatalf("%q %s", line, rest)
			}
			o, err := Observe(tell.pid)
			if err != nil || o.Tier() != tier {
				t.Errorf("observed %+v, tier %v, %v", o, o.Tier(), err)
			}
			if code := tell.end(t); code != 0 {
				rest, _ := io.ReadAll(out)
				t.Errorf("exit %d: %s", code, rest)
			}
		})
	}
}

// A process in the namespaces of others must not replace their root directory.
func TestConfineOutsideItsNamespaces(t *testing.T) {
	for _, born := range []Tier{TierProcess, TierConfined} {
		out, tell := confined(t, born, TierNamespaced)
		line, _ := out.ReadString('\n')
		if code := tell.end(t); code == 0 || line == "confined\n" {
			t.Errorf("born %v: put on the namespaced tier: %q", born, line)
		}
		if _, err := os.Stat("/proc/self/status"); err != nil {
			t.Fatalf("born %v: the root directory of this process changed: %v", born, err)
		}
	}
}

func TestConfineRefuses(t *testing.T) {
	for _, tier := range []Tier{-1, TierProcess, TierNamespaced + 1} {
		if err := Confine(Profile{Tier: tier}); !errors.Is(err, ErrTier) {
			t.Errorf("%d: %v", tier, err)
		}
	}
	if _, err := Observe(-1); err == nil {
		t.Error("a process that is not there was observed")
	}
	if o, err := Observe(os.Getpid()); err != nil || o.Tier() != TierProcess {
		t.Errorf("this process: %v, %v", o.Tier(), err)
	}
}

// held is a confined child that ends when its input does.
type held struct {
	pid int
	p   *os.Process
	in  *os.File
}

func (h held) end(t *testing.T) int {
	t.Helper()
	h.in.Close()
	s, err := h.p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return s.ExitCode()
}

func confined(t *testing.T, born, wanted Tier) (*bufio.Reader, held) {
	t.Helper()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, wait, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close(); wait.Close() })
	p, err := startProcess([]string{"x", "sandbox-confine", wanted.String()}, &os.ProcAttr{Files: []*os.File{in, w, w}, Sys: Attr(born)})
	in.Close()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(out), held{p.Pid, p, wait}
}

func confineChild(wanted string) int {
	tier := TierConfined
	if wanted == TierNamespaced.String() {
		tier = TierNamespaced
	}
	for range 8 { // threads that exist before
		go func() { runtime.LockOSThread(); select {} }()
	}
	time.Sleep(10 * time.Millisecond)
	if err := Confine(Profile{Tier: tier}); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("confined")
	_, _ = io.Copy(io.Discard, os.Stdin)
	bad := 0
	for range 20 {
		done := make(chan bool)
		go func() {
			runtime.LockOSThread() // not unlocked: every round is a new thread
			_, e1 := os.Open("/etc/passwd")
			_, e2 := net.Dial("udp", "127.0.0.1:9")
			_, e3 := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
			_, e4 := net.Listen("tcp", "127.0.0.1:0")
			done <- e1 != nil && e2 != nil && e3 != nil && e4 != nil
		}()
		if !<-done {
			bad++
		}
	}
	if b, err := loadHandler(context.Background(), nil, nil); err != nil || string(b) != "done" {
		fmt.Println("load:", err)
		return 1
	}
	if bad > 0 {
		fmt.Println("not confined:", bad)
	}
	return bad
}
