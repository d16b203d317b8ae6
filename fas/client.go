package fas

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// poolSize is how many sockets a client opens over its first one, so that
// calls do not queue behind each other.
const poolSize = 8

// patience is how long an answer may take where the caller set no limit.
const patience = 30 * time.Second

// Client is a [Gate] over a socket.
type Client struct {
	first *stream // only for passing descriptors; nil where none can be passed
	// A call holds a slot while it uses a socket: whoever waits for a slot is
	// woken by every end of a call, a bad one too.
	slots chan struct{}
	done  chan struct{}

	turn sync.Mutex // guards the exchanges on first
	wg   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	idle   []*stream // the last one used is used next: it is the warm one
	// open makes another connection where none can be passed over the first.
	open func(context.Context) (net.Conn, error)
}

// Dial makes a client of the firewall at the other end of the connection,
// which it owns from then on.
func Dial(c *net.UnixConn) (*Client, error) { return dial(c, poolSize) }

func dial(c *net.UnixConn, size int) (*Client, error) {
	if c == nil {
		return nil, ErrConfig
	}
	return newClient(c, size), nil
}

func newClient(c net.Conn, size int) *Client {
	return &Client{first: newStream(c), slots: make(chan struct{}, size), done: make(chan struct{})}
}

// DialWorker makes a client of a connection that [Client.Attach] made. It uses
// that one socket and opens no other, which a confined worker could not.
func DialWorker(c *net.UnixConn) (*Client, error) {
	w, err := dial(c, 1)
	if err != nil {
		return nil, err
	}
	w.pool()
	return w, nil
}

// pool makes the first socket one for calls.
func (c *Client) pool() { c.idle, c.first = append(c.idle, c.first), nil }

// Close ends the client and its connections; that of a call under way ends
// with the call, and no call begins any more. It is harmless twice.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.done)
	for _, s := range c.idle {
		s.close()
	}
	c.idle = nil
	c.mu.Unlock()
	if c.first == nil {
		return nil
	}
	err := c.first.c.Close()
	c.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// extra passes one end of a new pair to the firewall and returns the other.
// The caller may leave; the exchange goes on, since the next one on the first
// socket would read its answer.
func (c *Client) extra(ctx context.Context, op string) (*os.File, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	if c.first == nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("%w: no descriptor passes over this client's sockets", ErrRole)
	}
	c.wg.Add(1)
	c.mu.Unlock()
	type result struct {
		file *os.File
		err  error
	}
	got := make(chan result)
	go func() {
		defer c.wg.Done()
		f, err := c.pass(ctx, op)
		select {
		case got <- result{f, err}:
		case <-ctx.Done():
			if err == nil {
				_ = f.Close()
			}
		}
	}()
	select {
	case r := <-got:
		return r.file, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *Client) pass(ctx context.Context, op string) (*os.File, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	mine, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInternal, err)
	}
	defer theirs.Close()
	_, err = exchange(context.Background(), c.first, &call{Op: op}, rights(theirs))
	if err == nil {
		return mine, nil
	}
	if !errors.Is(err, errAnswered) {
		c.first.close()
		err = fmt.Errorf("%w: %w", ErrInternal, err)
	}
	return nil, errors.Join(err, mine.Close())
}

// Attach returns a new connection for a worker, on which only Redeem and
// Exchange are allowed, for one ticket. The caller hands it to the worker and
// closes it.
func (c *Client) Attach(ctx context.Context) (*os.File, error) { return c.extra(ctx, "attach") }

// take waits for a slot and finds an idle socket, or makes one. What it
// returns goes back by put.
func (c *Client) take(ctx context.Context) (*stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, err := c.warm()
	if s == nil && err == nil {
		s, err = c.grow(ctx)
	}
	if err != nil {
		<-c.slots
	}
	return s, err
}

// warm returns an idle socket, or nil.
func (c *Client) warm() (*stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	switch {
	case c.closed:
		return nil, ErrClosed
	case last < 0:
		return nil, nil
	}
	s := c.idle[last]
	c.idle = c.idle[:last]
	return s, nil
}

// put ends a call. A socket on which a call was cut short is thrown away,
// since its next message would be the answer to another call.
func (c *Client) put(s *stream, good bool) {
	c.mu.Lock()
	if good && !c.closed {
		c.idle = append(c.idle, s)
	} else {
		s.close()
	}
	c.mu.Unlock()
	<-c.slots
}

func (c *Client) grow(ctx context.Context) (*stream, error) {
	if c.open != nil {
		conn, err := c.open(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInternal, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			return nil, errors.Join(ErrClosed, conn.Close())
		}
		return newStream(conn), nil
	}
	if c.first == nil {
		return nil, fmt.Errorf("%w: the client's one socket was cut", ErrInternal)
	}
	file, err := c.extra(ctx, "more")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(ErrInternal, conn.Close())
	}
	return newStream(u), nil
}

// do makes one call.
func (c *Client) do(ctx context.Context, in *call) (reply, error) {
	s, err := c.take(ctx)
	if err != nil {
		return reply{}, err
	}
	out, err := exchange(ctx, s, in, nil)
	answered := err == nil || errors.Is(err, errAnswered)
	c.put(s, answered || errors.Is(err, errTooLong)) // what was too long was not sent
	if !answered {
		return reply{}, errors.Join(ErrInternal, err, ctx.Err())
	}
	return out, err
}

// errAnswered marks errors that came as an answer, so that the socket is good.
var errAnswered = errors.New("answered")

type answered struct{ error }

// Is makes errors.Is find the mark besides the error itself.
func (answered) Is(target error) bool { return target == errAnswered }

// Unwrap returns the firewall's error.
func (a answered) Unwrap() error { return a.error }

func exchange(ctx context.Context, s *stream, in *call, rights []byte) (reply, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(patience)
	}
	if err := s.c.SetDeadline(deadline); err != nil {
		return reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.c.SetDeadline(time.Unix(1, 0)) })
	var out reply
	err := s.send(in, in.Evidence, rights)
	if err == nil {
		out.Session, err = s.receive(&out)
	}
	s.dropFDs()
	switch {
	case !stop():
		// The deadline may change at any moment: the socket is of no more use.
		err = ctx.Err()
	case err == nil && out.Error != "":
		err = answered{namedError(out.Error)}
	}
	if err != nil {
		clear(out.Session)
		return reply{}, err
	}
	return out, nil
}

func (c *Client) session(ctx context.Context, in *call) (*Session, error) {
	out, err := c.do(ctx, in)
	if err != nil {
		return nil, err
	}
	defer clear(out.Session)
	return decodeSession(out.Session)
}

// AssumeOwn implements [Gate].
func (c *Client) AssumeOwn(ctx context.Context, ev Evidence, req Request) (*Session, error) {
	return c.signed(ctx, "assume-own", ev, req)
}

// Exchange implements [Gate].
func (c *Client) Exchange(ctx context.Context, ev Evidence, req Request) (*Session, error) {
	return c.signed(ctx, "exchange", ev, req)
}

func (c *Client) signed(ctx context.Context, op string, ev Evidence, req Request) (*Session, error) {
	raw, err := ev.MarshalBinary()
	if err != nil || req.RequestID.IsZero() {
		return nil, ErrDenied
	}
	return c.session(ctx, &call{Op: op, Evidence: raw, Request: req, Target: idText(req.Customization)})
}

// Redeem returns the session of a worker's step.
func (c *Client) Redeem(ctx context.Context, t Ticket, v Verb) (*Session, error) {
	return c.session(ctx, &call{Op: "redeem", Sealed: t.Sealed, Verb: v})
}

// Register pins the digest of a finished snapshot.
func (c *Client) Register(ctx context.Context, t Ticket, manifest [32]byte) error {
	_, err := c.do(ctx, &call{Op: "register", Sealed: t.Sealed, Manifest: manifest[:]})
	return err
}

// Finish makes a version complete.
func (c *Client) Finish(ctx context.Context, t Ticket, score float64) error {
	_, err := c.do(ctx, &call{Op: "finish", Sealed: t.Sealed, Score: score})
	return err
}

// Abandon drops an unfinished version.
func (c *Client) Abandon(ctx context.Context, t Ticket, reason string) error {
	_, err := c.do(ctx, &call{Op: "abandon", Sealed: t.Sealed, Reason: reason})
	return err
}

// Unfinished lists the work that the registry waits for; see
// [Firewall.Unfinished].
func (c *Client) Unfinished(ctx context.Context) (open []Unfinished, err error) {
	for in := (call{Op: "unfinished"}); ; {
		out, err := c.do(ctx, &in)
		if err != nil {
			return nil, err
		}
		for i := range out.Open {
			u := &out.Open[i]
			u.Ticket = Ticket{u.Collection, u.Snapshot, u.Sealed}
		}
		open = append(open, out.Open...)
		if !out.More || len(out.Open) == 0 {
			return open, nil
		}
		in.After = idText(out.Open[len(out.Open)-1].Customization)
	}
}

// Revoke asks for [Firewall.Revoke], as a workload that is an operator;
// everybody else is refused with [ErrRole].
func (c *Client) Revoke(ctx context.Context, r Revocation) error {
	_, err := c.do(ctx, &call{Op: "revoke", Revoke: &r})
	return err
}

// Version returns what the firewall at the other end is. Like every call it is
// answered to workloads of the list only, so that it shows besides that this
// one is.
func (c *Client) Version(ctx context.Context) (Version, error) {
	out, err := c.do(ctx, &call{Op: "version"})
	if err == nil && out.Version == nil {
		err = ErrInternal
	}
	if err != nil {
		return Version{}, err
	}
	return *out.Version, nil
}

// Removed ends a deletion.
func (c *Client) Removed(ctx context.Context, t Ticket) error {
	_, err := c.do(ctx, &call{Op: "removed", Sealed: t.Sealed})
	return err
}
