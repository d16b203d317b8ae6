package gpuinfer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Inventory lists the cores that this process may use, one partition a core.
// With a single core it is one partition without exclusive cores.
func Inventory() ([]Partition, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var out []Partition
	for c := range 1024 {
		if set.IsSet(c) {
			out = append(out, Partition{[]int{c}})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no cores", ErrConfig)
	}
	return out, nil
}

// spawner starts processes from one thread that never ends, with that
// thread's affinity set first: the child inherits it before its first
// instruction.
var spawner = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

func pinned(cpus []int, cmd *exec.Cmd) (err error) {
	// The kernel ends the process with the thread that started it, which is
	// with this process: a slot that hangs does not outlive its pool.
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	attr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = &attr
	done := make(chan struct{})
	spawner() <- func() {
		defer close(done)
		if len(cpus) == 0 {
			err = cmd.Start()
			return
		}
		var old, set unix.CPUSet
		if err = unix.SchedGetaffinity(0, &old); err != nil {
			return
		}
		for _, c := range cpus {
			set.Set(c)
		}
		if err = unix.SchedSetaffinity(0, &set); err != nil {
			return
		}
		err = cmd.Start()
		if e := unix.SchedSetaffinity(0, &old); err == nil {
			err = e
		}
	}
	<-done
	return err
}

// attest reads the affinity of every thread of a process from the kernel.
func attest(pid int, cpus []int) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		return fmt.Errorf("%w: no threads", ErrAttest)
	}
	want := map[int]bool{}
	for _, c := range cpus {
		want[c] = true
	}
	seen := 0
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		if os.IsNotExist(err) || errors.Is(err, unix.ESRCH) {
			continue // the thread ended meanwhile
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAttest, err)
		}
		_, rest, ok := strings.Cut(string(b), "Cpus_allowed_list:")
		list, _, _ := strings.Cut(rest, "\n")
		if !ok || !within(strings.TrimSpace(list), want) {
			return fmt.Errorf("%w: a thread may run elsewhere", ErrAttest)
		}
		seen++
	}
	if seen == 0 {
		return fmt.Errorf("%w: no thread lives", ErrAttest)
	}
	return nil
}

func within(list string, want map[int]bool) bool {
	for _, r := range strings.Split(list, ",") {
		from, to, isRange := strings.Cut(r, "-")
		a, err := strconv.Atoi(from)
		if err != nil {
			return false
		}
		z := a
		if isRange {
			if z, err = strconv.Atoi(to); err != nil {
				return false
			}
		}
		if z < a {
			return false
		}
		for c := a; c <= z; c++ {
			if !want[c] {
				return false
			}
		}
	}
	return true
}
