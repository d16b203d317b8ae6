package gpuinfer_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloisterdev/cloister/gpuinfer"
)

// roam lets every thread of this process run anywhere.
func roam() error {
	var all unix.CPUSet
	for c := range 1024 {
		all.Set(c)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if tid, e := strconv.Atoi(t.Name()); e == nil {
			_ = unix.SchedSetaffinity(tid, &all)
		}
	}
	return err
}

func cores(t *testing.T, n int) []gpuinfer.Partition {
	t.Helper()
	have, err := gpuinfer.Inventory()
	must(t, err)
	if len(have) < n {
		t.Skipf("%d cores, the test needs %d", len(have), n)
	}
	return have
}

func TestPinned(t *testing.T) {
	t.Parallel()
	have := cores(t, 2)
	w := newWorld(t)
	given := []gpuinfer.Partition{{CPUs: slices.Clone(have[0].CPUs)}, {CPUs: slices.Clone(have[1].CPUs)}}
	p := w.pool(2, func(c *gpuinfer.Config) { c.Partitions = given })
	// Neither what the caller keeps nor what it is shown moves a slot.
	given[0].CPUs[0] = have[1].CPUs[0]
	seen := map[int]bool{}
	for range 2 {
		o := w.owner("x", nil)
		l := w.lease(p, o)
		o.serves(l)
		i := l.Slot()
		if !i.Pinned || len(i.CPUs) != 1 || seen[i.CPUs[0]] {
			t.Errorf("%+v", i)
		}
		seen[i.CPUs[0]] = true
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.PID))
		must(t, err)
		if want := fmt.Sprintf("Cpus_allowed_list:\t%d\n", i.CPUs[0]); !strings.Contains(string(b), want) {
			t.Errorf("the kernel does not say %q", want)
		}
		i.CPUs[0] = 1 << 20
		if l.Slot().CPUs[0] == 1<<20 || p.Slots()[0].CPUs[0] == 1<<20 {
			t.Error("what a caller was shown is the slot's own")
		}
	}
	for _, i := range p.Slots() {
		if !seen[i.CPUs[0]] {
			t.Errorf("%+v", i)
		}
	}
}

func TestPinRefuses(t *testing.T) {
	t.Parallel()
	have := cores(t, 2)
	w := newWorld(t)
	o := w.owner("x", nil)
	p := w.pool(1, func(c *gpuinfer.Config) { c.Partitions, c.Command = have[:1], w.command("roams") })
	_, err := p.Acquire(context.Background(), o.session())
	refused(t, "runs elsewhere", err, gpuinfer.ErrAttest)
	w.noneLeft("runs elsewhere")
	p = w.pool(1, func(c *gpuinfer.Config) { c.Partitions = []gpuinfer.Partition{{CPUs: []int{1023}}} })
	_, err = p.Acquire(context.Background(), o.session())
	refused(t, "no such core", err, gpuinfer.ErrSlot)
	// Without declared cores nothing is claimed.
	l := w.lease(w.pool(1, nil), o)
	if o.serves(l); l.Slot().Pinned || len(l.Slot().CPUs) != 0 {
		t.Errorf("%+v", l.Slot())
	}
}

const orphan = "GPUINFER_TEST_ORPHAN"

// A slot that hangs ends with its pool's process, however that ends.
func TestOrphan(t *testing.T) {
	t.Parallel()
	if os.Getenv(orphan) != "" {
		w := newWorld(t)
		p, o := w.pool(1, nil), w.owner("x", nil)
		l := w.lease(p, o)
		go func() { _, _ = say(context.Background(), l, "hang") }()
		time.Sleep(50 * time.Millisecond)
		fmt.Println("slot", l.Slot().PID)
		time.Sleep(time.Minute)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOrphan$")
	cmd.Env = append(os.Environ(), orphan+"=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	must(t, err, cmd.Start())
	pid := 0
	for s := bufio.NewScanner(out); pid == 0 && s.Scan(); {
		if f, ok := strings.CutPrefix(s.Text(), "slot "); ok {
			pid, err = strconv.Atoi(f)
			must(t, err)
		}
	}
	if pid == 0 || !alive(pid) {
		t.Fatal("no slot")
	}
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	// A zombie whose parent is gone is reaped by someone else, or never.
	for range 500 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Error("the slot outlives its pool")
}
