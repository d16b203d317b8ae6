package fas

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cloisterdev/cloister/audit"
)

// maxConnections is how many connections of a listener are answered at a time;
// more are closed at once.
const maxConnections = 256

// handshakePatience is how long a TLS peer may take to say who it is.
const handshakePatience = 5 * time.Second

// Listener answers the workloads of a list, each known by its connection.
type Listener struct {
	f    *Firewall
	l    net.Listener
	who  func(context.Context, net.Conn) (peer, error)
	busy chan struct{}
}

// ListenUnix listens on a path, for processes of this machine that are started
// apart. The socket has mode 0660; its folder must belong to the firewall's
// user, or root, and nobody else may write it. The kernel says who connects:
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
	return &Listener{f, l, who, make(chan struct{}, maxConnections)}, nil
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

// listenUnix makes the socket under a temporary umask-proof name, so that it is
// never there with another mode.
func listenUnix(path string) (net.Listener, error) {
	// What stands there is removed if it is a socket that nobody answers.
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("%s is there and not a socket", filepath.Base(path))
		}
		if c, err := net.Dial("unix", path); err == nil {
			return nil, errors.Join(fmt.Errorf("%s is answered by another process", filepath.Base(path)), c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	_ = os.Remove(tmp)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: tmp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(tmp, 0o660), os.Rename(tmp, path)); err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(tmp))
	}
	return &unixListener{UnixListener: l, path: path}, nil
}

type unixListener struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Close removes the path, once: what stands there later is another's.
func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() { err = errors.Join(err, os.Remove(l.path)) })
	return err
}

// checkFolder refuses a folder in which somebody else could put another socket.
func checkFolder(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if info.Mode().Perm()&0o022 != 0 || !ours(info) {
		return fmt.Errorf("%w: others may write the folder of the socket %s; give it to the firewall's user, with mode 0750 or less", ErrConfig, filepath.Base(path))
	}
	return nil
}

// ListenTLS listens on TCP, for workloads of other machines. Without client
// certificates that are required and verified it refuses to start: the
// configuration needs Certificates or GetCertificate, ClientAuth
// tls.RequireAndVerifyClientCert, ClientCAs, and TLS 1.3. A certificate names
// its workload by one of its URI or DNS names. A worker cannot be attached to
// such a connection, since descriptors pass over unix sockets only: redeeming
// and staging belong on the firewall's machine. Errors wrap [ErrConfig] and
// say what to mend.
func (f *Firewall) ListenTLS(addr string, conf *tls.Config, ws []Workload) (*Listener, error) {
	if err := checkWorkloads(ws, true); err != nil {
		return nil, err
	}
	if err := checkTLS(conf); err != nil {
		return nil, err
	}
	conf = conf.Clone()
	conf.MinVersion = tls.VersionTLS13
	conf.SessionTicketsDisabled = true // a resumed session would skip a certificate that has ended
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	who := func(ctx context.Context, c net.Conn) (peer, error) { return tlsPeer(ctx, c, ws) }
	return &Listener{f, tls.NewListener(l, conf), who, make(chan struct{}, maxConnections)}, nil
}

func checkTLS(c *tls.Config) error {
	mend := ""
	switch {
	case c == nil:
		mend = "give it a tls.Config, or listen on a unix socket"
	case len(c.Certificates) == 0 && c.GetCertificate == nil:
		mend = "set Certificates or GetCertificate"
	case c.ClientAuth != tls.RequireAndVerifyClientCert:
		mend = "set ClientAuth to tls.RequireAndVerifyClientCert"
	case c.ClientCAs == nil:
		mend = "set ClientCAs to the authorities of your workloads: the system's would let anybody in"
	case c.InsecureSkipVerify:
		mend = "do not set InsecureSkipVerify"
	case c.GetConfigForClient != nil:
		mend = "do not set GetConfigForClient: what it returns cannot be checked here"
	case c.MaxVersion != 0 && c.MaxVersion < tls.VersionTLS13:
		mend = "allow TLS 1.3"
	}
	if mend != "" {
		return fmt.Errorf("%w: a firewall on TCP knows its callers by client certificates; %s", ErrConfig, mend)
	}
	return nil
}

func tlsPeer(ctx context.Context, c net.Conn, ws []Workload) (peer, error) {
	t, ok := c.(*tls.Conn)
	if !ok {
		return peer{}, errPeer
	}
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return peer{}, err
	}
	chains := t.ConnectionState().VerifiedChains
	if len(chains) == 0 || len(chains[0]) == 0 {
		return peer{}, errPeer
	}
	return certPeer(chains[0][0], ws)
}

// certPeer finds the workload that a certificate names. A certificate that
// names two is nobody's.
func certPeer(cert *x509.Certificate, ws []Workload) (p peer, err error) {
	names := map[string]bool{}
	for _, u := range cert.URIs {
		names[u.String()] = true
	}
	for _, d := range cert.DNSNames {
		names[d] = true
	}
	err = errPeer
	for _, w := range ws {
		if !names[w.Identity] {
			continue
		}
		if err == nil {
			return peer{}, errPeer
		}
		p, err = w.peer(0), nil
	}
	return p, err
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
		select {
		case l.busy <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-l.busy }()
			l.answer(ctx, c)
		})
	}
}

func (l *Listener) answer(ctx context.Context, c net.Conn) {
	p, err := l.who(ctx, c)
	if err != nil {
		e := event(ctx, "firewall.connection", Request{})
		e.Decision = audit.Deny
		_ = l.f.denyStranger(ctx, e, "not-a-workload", ErrRole)
		_ = c.Close()
		return
	}
	_ = l.f.serveAs(ctx, c, p)
}
