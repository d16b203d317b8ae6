package fas

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// DialTLS makes a client of a firewall on another machine, see
// [Firewall.ListenTLS]. The configuration needs the workload's certificate, and
// RootCAs for the firewall's; else it is [ErrConfig]. Such a client has no
// [Client.Attach].
func DialTLS(ctx context.Context, addr string, conf *tls.Config) (*Client, error) {
	if conf == nil || conf.RootCAs == nil || conf.InsecureSkipVerify || len(conf.Certificates) == 0 && conf.GetClientCertificate == nil {
		return nil, fmt.Errorf("%w: a client over TLS needs RootCAs and its certificate, and must verify the firewall's", ErrConfig)
	}
	conf = conf.Clone()
	conf.MinVersion = tls.VersionTLS13
	d := tls.Dialer{Config: conf}
	open := func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	conn, err := open(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	c := newClient(conn, poolSize)
	c.open = open
	c.pool()
	return c, nil
}
