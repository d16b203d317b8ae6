package fas

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Embedded is the name, in lists of callers, of whoever is at the other end of
// a connection that the firewall's own user made and [Firewall.Serve] answers,
// and of calls inside the firewall's process.
const Embedded = "embedded"

// Workload is a program that may call the firewall.
type Workload struct {
	// Name is what profiles, operations and the audit log call it:
	// [a-z0-9.-], at most 64 bytes, not [Embedded].
	Name string
	// UID and GID are whom the kernel says is at the other end of a unix
	// socket. Both are always compared; zero is root.
	UID, GID uint32
	// Executable is the file that the process at the other end runs when it
	// connects, as an absolute path without links; Linux tells it to a firewall
	// of the same user, or with CAP_SYS_PTRACE. Empty means any.
	Executable string
	// Identity is the workload's name in its client certificate, over TLS: a
	// URI such as spiffe://domain/path, or a DNS name. A workload with an
	// identity is reached over TLS only, and one without over a unix socket
	// only.
	Identity string
	// Operator may revoke.
	Operator bool
	// Control is a control plane: it may ask what is unfinished and take the steps
	// of tickets, of all tenants. Others may carry a ticket and not use it.
	Control bool
}

// ucred is what the kernel says of the other end of a socket.
type ucred struct {
	known    bool
	pid      int
	uid, gid uint32
}

// peer is who is at the other end of a connection.
type peer struct {
	name              string
	operator, control bool
	uid               uint32
}

// inProcess is whoever calls a method of the firewall: it holds everything.
var inProcess = peer{name: Embedded, operator: true, control: true}

// Check refuses a name that is none. Errors wrap [ErrConfig].
func (w Workload) Check() error {
	bad := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' }
	switch {
	case w.Name == Embedded:
		return fmt.Errorf("%w: a workload %q: the name stands for whoever is in the firewall's own process", ErrConfig, w.Name)
	case w.Name == "" || len(w.Name) > 64 || strings.ContainsFunc(w.Name, bad):
		return fmt.Errorf("%w: a workload %q: a name has 1 to 64 of a-z, 0-9, dot and hyphen", ErrConfig, w.Name)
	}
	return nil
}

// checkWorkloads refuses lists in which a peer could be two, or nobody.
func checkWorkloads(ws []Workload, tls bool) error {
	if len(ws) == 0 {
		return fmt.Errorf("%w: a listening firewall needs a list of workloads", ErrConfig)
	}
	names := map[string]bool{}
	for _, w := range ws {
		if err := w.Check(); err != nil {
			return err
		}
		if names[w.Name] {
			return fmt.Errorf("%w: two workloads %q", ErrConfig, w.Name)
		}
		names[w.Name] = true
		if tls != (w.Identity != "") {
			return fmt.Errorf("%w: workload %q has no identity of this kind of connection", ErrConfig, w.Name)
		}
	}
	return nil
}

// errPeer is why a connection was not answered.
var errPeer = errors.New("no workload of the list")

func (w Workload) peer(uid uint32) peer { return peer{w.Name, w.Operator, w.Control, uid} }

// callable reports whether a list of callers names the peer; an empty list
// names everybody.
func callable(callers []string, p peer) bool {
	return len(callers) == 0 || slices.Contains(callers, p.name)
}

type peerKey struct{}

// withPeer says on whose connection the calls under a context come.
func withPeer(ctx context.Context, p peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}

// peerOf is who calls: without a connection, the firewall's own process.
func peerOf(ctx context.Context) peer {
	if p, ok := ctx.Value(peerKey{}).(peer); ok {
		return p
	}
	return inProcess
}
