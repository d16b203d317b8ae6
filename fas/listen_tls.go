package fas

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"
)

// handshakePatience is how long a TLS peer may take to say who it is.
const handshakePatience = 5 * time.Second

// ListenTLS listens on TCP, for workloads of other machines. Without client
// certificates that are required and verified it refuses to start: the
// configuration needs Certificates or GetCertificate, ClientAuth
// tls.RequireAndVerifyClientCert, ClientCAs, and TLS 1.3. A certificate names
// its workload by one of its URI or DNS names. A worker cannot be attached to
// such a connection, since descriptors pass over unix sockets only: staging
// belongs on the firewall's machine. Errors wrap [ErrConfig] and
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
	return newListener(f, tls.NewListener(l, conf), who), nil
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
