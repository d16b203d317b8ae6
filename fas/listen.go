package fas

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cloisterdev/cloister/audit"
)

// maxConnections is how many connections of workloads are answered at a time; more
// are closed at once. maxGreetings is how many may be there of whom nobody knows
// yet who they are; of more, the one that has been there longest is closed. Both
// together leave descriptors, of which many systems give a process 1024, to the
// audit log and the stores.
const maxConnections, maxGreetings = 256, 256

// Listener answers the workloads of a list, each known by its connection.
type Listener struct {
	f    *Firewall
	l    net.Listener
	who  func(context.Context, net.Conn) (peer, error)
	busy chan struct{}

	mu        sync.Mutex
	greetings []net.Conn // by when they came
}

// ListenUnix listens on a path, for processes of this machine that are started
// apart. The socket has mode 0660; its folder and those above must belong to the
// firewall's user, or root, and nobody else may write them, sticky ones above
// aside, as /tmp is. The kernel says who connects:
// user, group and executable are compared with the list, and the first workload
// that fits counts; on Linux only.
// Errors wrap [ErrConfig].
func (f *Firewall) ListenUnix(path string, ws []Workload) (*Listener, error) {
	if err := checkWorkloads(ws, false); err != nil {
		return nil, err
	}
	if err := checkFolder(path); err != nil {
		return nil, err
	}
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	who := func(_ context.Context, c net.Conn) (peer, error) { return unixPeer(c, ws) }
	return newListener(f, l, who), nil
}

func newListener(f *Firewall, l net.Listener, who func(context.Context, net.Conn) (peer, error)) *Listener {
	return &Listener{f: f, l: l, who: who, busy: make(chan struct{}, maxConnections)}
}

func unixPeer(c net.Conn, ws []Workload) (peer, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return peer{}, errPeer
	}
	cred, err := peerCred(u)
	if err != nil || !cred.known {
		return peer{}, errors.Join(errPeer, err)
	}
	exe, exeErr := "", error(nil)
	for _, w := range ws {
		if w.UID != cred.uid || w.GID != cred.gid {
			continue
		}
		if w.Executable != "" && exe == "" {
			if exe, exeErr = executable(u, cred); exeErr != nil {
				return peer{}, errors.Join(errPeer, exeErr)
			}
		}
		if w.Executable == "" || w.Executable == exe {
			return w.peer(cred.uid), nil
		}
	}
	return peer{}, errPeer
}

// Addr returns where it listens.
func (l *Listener) Addr() net.Addr { return l.l.Addr() }

// Close ends listening; connections go on until the context of Serve ends.
func (l *Listener) Close() error { return l.l.Close() }

// Serve answers workloads until the context ends or the listener is closed,
// and returns when the last connection is over. Whoever is not on the list is
// recorded and gets no answer.
func (l *Listener) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED) {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return err
		}
		l.greet(c)
		wg.Go(func() { l.answer(ctx, c) })
	}
}

// greet makes room for a connection of whom nobody knows yet who it is: whoever
// says nothing goes before one who has just come.
func (l *Listener) greet(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.greetings) == maxGreetings {
		_ = l.greetings[0].Close()
		l.greetings = slices.Delete(l.greetings, 0, 1)
	}
	l.greetings = append(l.greetings, c)
}

func (l *Listener) greeted(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.greetings, c); i >= 0 {
		l.greetings = slices.Delete(l.greetings, i, i+1)
	}
}

func (l *Listener) answer(ctx context.Context, c net.Conn) {
	p, err := l.who(ctx, c)
	l.greeted(c)
	if err != nil {
		e := event(ctx, "firewall.connection", Request{})
		e.Decision = audit.Deny
		_ = l.f.denyStranger(ctx, e, "not-a-workload", ErrRole)
		_ = c.Close()
		return
	}
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	default:
		_ = l.f.denyStranger(ctx, event(withPeer(ctx, p), "firewall.connection", Request{}), "too-many-connections", ErrLimited)
		_ = c.Close()
		return
	}
	_ = l.f.serveAs(ctx, c, p)
}
