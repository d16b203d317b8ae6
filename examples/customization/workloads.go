package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/fas"
)

// workloads are programs of this user, by name and executable, that may call
// the firewall over a socket of its own. It is a flag: NAME=EXECUTABLE.
type workloads []fas.Workload

// String implements flag.Value.
func (w *workloads) String() string { return strings.Join(w.args(), " ") }

// Set implements flag.Value.
func (w *workloads) Set(v string) error {
	name, exe, ok := strings.Cut(v, "=")
	if !ok || name == "" || !filepath.IsAbs(exe) {
		return fmt.Errorf("want NAME=EXECUTABLE, with an absolute path")
	}
	exe, err := filepath.EvalSymlinks(exe)
	if err != nil {
		return err
	}
	one := fas.Workload{Name: name, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Executable: exe}
	if err := one.Check(); err != nil {
		return err
	}
	if slices.ContainsFunc(*w, func(o fas.Workload) bool { return o.Name == name }) {
		return fmt.Errorf("two workloads %q", name)
	}
	*w = append(*w, one)
	return nil
}

// args are the flags that say the same.
func (w *workloads) args() (out []string) {
	for _, one := range *w {
		out = append(out, "--workload", one.Name+"="+one.Executable)
	}
	return out
}

// callFirewall connects to the socket, as the workload that this program is.
func callFirewall(data string) (*fas.Client, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: firewallSocket(data), Net: "unix"})
	if err != nil {
		return nil, err
	}
	return fas.Dial(c)
}
