package stack

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cloisterdev/cloister/sandbox"
)

// Process is one line of the process table.
type Process struct {
	Role   string `json:"role"`
	PID    int    `json:"pid"`
	Holds  string `json:"holds"`
	Cannot string `json:"cannot"`
	// Tier is what the kernel shows of the process, and the cores that it is
	// bound to where they are not all.
	Tier string `json:"tier"`
}

// kinds says what each role holds and cannot do. Roles with a dash are started
// by the supervisor, the others by the front end.
var kinds = []struct{ role, title, holds, cannot string }{
	{"-firewall", "identity firewall", "tenants' verification keys, profiles, policies, root key, grants, registry", "see customer data; be dialled by path or port"},
	{"-front", "front end + control plane", "API, journal, tickets, one request while it lasts", "verify a signature, mint, unwrap a key, read a bucket, see source during ingestion"},
	{"-cloud", "customer cloud", "the tenants' buckets and their own keys", "mint a session"},
	{"_worker", "single-use worker", "nothing yet: it waits for its one job (fetch, index or evaluate)", "open a file or socket, start a program, take a second job"},
	{"_slot", "engine slot", "one customization's model, one request while it lasts", "serve another customization; open a file or socket, start a program"},
}

// Processes is the process table as it is now. Workers and slots come and go;
// they are found as children of the front end.
func (s *Stack) Processes() (out []Process) {
	front := s.PID("front")
	for _, k := range kinds {
		var pids []int
		if role, ok := strings.CutPrefix(k.role, "-"); ok {
			pids = []int{s.PID(role)}
		} else {
			pids = children(front, k.role)
		}
		for _, pid := range pids {
			if pid > 0 {
				out = append(out, Process{k.title, pid, k.holds, k.cannot, observed(pid)})
			}
		}
	}
	return out
}

func observed(pid int) string {
	o, err := sandbox.Observe(pid)
	if err != nil {
		return "unknown"
	}
	tier := o.Tier().String()
	mine, theirs := cores(os.Getpid()), cores(pid)
	if theirs != "" && theirs != mine {
		tier += ", core " + theirs
	}
	return tier
}

func cores(pid int) string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), "Cpus_allowed_list:")
	list, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(list)
}

// children lists the child processes that were started as a role.
func children(parent int, role string) (out []int) {
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(parent), "task", "*", "children"))
	if err != nil || parent == 0 {
		return nil
	}
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				continue
			}
			line, err := os.ReadFile(filepath.Join("/proc", f, "cmdline"))
			if err == nil && slices.ContainsFunc(bytes.Split(line, []byte{0}), func(a []byte) bool { return string(a) == role }) {
				out = append(out, pid)
			}
		}
	}
	slices.Sort(out)
	return out
}
