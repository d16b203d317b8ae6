package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

var namespaces = []string{"ipc", "mnt", "net", "pid", "user", "uts"}

// Observe reads what the kernel says about a process, the weakest value over
// all its threads. What this process may not read counts as not there.
func Observe(pid int) (Observation, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	tasks, err := os.ReadDir(filepath.Join(dir, "task"))
	if err != nil || len(tasks) == 0 {
		return Observation{}, fmt.Errorf("observe: %w", err)
	}
	o := Observation{Seccomp: 2, NoNewPrivs: true}
	for _, t := range tasks {
		b, err := os.ReadFile(filepath.Join(dir, "task", t.Name(), "status"))
		if os.IsNotExist(err) {
			continue // the thread has ended
		}
		if err != nil {
			return Observation{}, fmt.Errorf("observe: %w", err)
		}
		s, err := parseStatus(string(b))
		if err != nil {
			return Observation{}, err
		}
		o.Seccomp = min(o.Seccomp, s.Seccomp)
		o.NoNewPrivs = o.NoNewPrivs && s.NoNewPrivs
		o.CapEff |= s.CapEff
	}
	for _, n := range namespaces {
		theirs, err := os.Readlink(filepath.Join(dir, "ns", n))
		if err != nil {
			// Not readable is not known to be its own.
			continue
		}
		ours, err := os.Readlink(filepath.Join("/proc/self/ns", n))
		if err != nil {
			return Observation{}, fmt.Errorf("observe: %w", err)
		}
		if ours != theirs {
			o.OwnNamespaces = append(o.OwnNamespaces, n)
		}
	}
	return o, nil
}

// parseStatus reads the lines of interest; a line that is absent is an error.
func parseStatus(s string) (Observation, error) {
	var o Observation
	found := 0
	for line := range strings.Lines(s) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "Seccomp":
			o.Seccomp, err = strconv.Atoi(value)
		case "NoNewPrivs":
			var n int
			n, err = strconv.Atoi(value)
			o.NoNewPrivs = n == 1
		case "CapEff":
			o.CapEff, err = strconv.ParseUint(value, 16, 64)
		default:
			continue
		}
		if err != nil {
			return Observation{}, fmt.Errorf("observe: bad status line %s", key)
		}
		found++
	}
	if found != 3 {
		return Observation{}, fmt.Errorf("observe: %d of 3 status lines", found)
	}
	return o, nil
}

// Tier is the strongest tier of which the kernel shows every mark. Landlock
// and resource limits leave none that another process could read.
func (o Observation) Tier() Tier {
	for _, t := range []Tier{TierNamespaced, TierConfined} {
		if o.check(t.layers()) == nil {
			return t
		}
	}
	return TierProcess
}

func (o Observation) check(l layer) error {
	switch {
	case l&layerSeccomp != 0 && o.Seccomp != 2:
		return fmt.Errorf("%w: no seccomp filter", ErrAttestation)
	case l&(layerSeccomp|layerLandlock) != 0 && !o.NoNewPrivs:
		return fmt.Errorf("%w: no_new_privs is off", ErrAttestation)
	case l&layerCaps != 0 && o.CapEff != 0:
		return fmt.Errorf("%w: effective capabilities %x", ErrAttestation, o.CapEff)
	case l&layerNamespaces != 0 && len(o.OwnNamespaces) != len(namespaces):
		return fmt.Errorf("%w: own namespaces are only %v", ErrAttestation, o.OwnNamespaces)
	}
	return nil
}
