package fas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cloisterdev/cloister/tenant"
)

// connection is what the firewall knows about one socket.
type connection struct {
	f      *Firewall
	peer   peer
	worker bool
	ticket tenant.SnapshotID // a worker's connection is for one ticket
	wg     *sync.WaitGroup
}

// Serve answers one connection of the firewall's own user and those passed over
// it, until the peer closes it or the context ends: for a socket pair whose
// other end a supervisor hands to a front end. Whoever calls on it is
// [Embedded]. It returns nil at the peer's end of file.
func (f *Firewall) Serve(ctx context.Context, c *net.UnixConn) error {
	cred, err := peerCred(c)
	if err == nil && cred.known && cred.uid != uint32(os.Getuid()) {
		err = fmt.Errorf("%w: peer of another user", ErrRole)
	}
	if err != nil {
		return errors.Join(err, c.Close())
	}
	return f.serveAs(ctx, c, peer{name: Embedded, control: true, uid: cred.uid})
}

func (f *Firewall) serveAs(ctx context.Context, c net.Conn, p peer) error {
	var wg sync.WaitGroup
	err := f.serve(ctx, c, &connection{f: f, peer: p, wg: &wg})
	wg.Wait()
	return err
}

func (f *Firewall) serve(ctx context.Context, c net.Conn, con *connection) error {
	defer c.Close()
	ctx = withPeer(ctx, con.peer)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	s := newStream(c)
	defer s.dropFDs()
	for {
		var in call
		var err error
		if in.Evidence, err = s.receive(&in); err != nil {
			if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			if errors.Is(err, errMalformed) {
				_ = con.f.denyStranger(ctx, event(ctx, "firewall.connection", Request{}), "malformed-call", err)
			}
			return err
		}
		out := con.answer(ctx, s, &in)
		clear(in.Evidence)
		s.dropFDs()
		err = s.send(out, out.Session, nil)
		if errors.Is(err, errTooLong) {
			err = s.send(reply{Error: errorName(ErrInternal)}, nil, nil)
		}
		clear(out.Session)
		if err != nil {
			return err
		}
	}
}

func (con *connection) answer(ctx context.Context, s *stream, in *call) (out reply) {
	if err := con.dispatch(ctx, s, in, &out); err != nil {
		return reply{Error: errorName(err)}
	}
	return out
}

func parseOptional(s string) (tenant.CustomizationID, error) {
	if s == "" {
		return tenant.CustomizationID{}, nil
	}
	return tenant.ParseCustomizationID(s)
}

// controlCalls are those for which a ticket, or the state of all rows, is the
// only word: whoever may make them works for every tenant.
var controlCalls = []string{"redeem", "register", "finish", "abandon", "unfinished", "removed"}

// refuse records what is refused before any door is asked.
func (con *connection) refuse(ctx context.Context, in *call, reason string, err error) error {
	return con.f.deny(ctx, event(ctx, "firewall.connection", Request{RequestID: in.Request.RequestID}), reason, err)
}

func (con *connection) dispatch(ctx context.Context, s *stream, in *call, out *reply) (err error) {
	f := con.f
	refuse := func(reason string, err error) error { return con.refuse(ctx, in, reason, err) }
	if con.worker && in.Op != "redeem" && in.Op != "exchange" {
		return refuse("a-workers-connection", ErrRole)
	}
	if slices.Contains(controlCalls, in.Op) && !con.peer.control {
		return refuse("not-a-control-plane", ErrRole)
	}
	if in.Evidence != nil && in.Op != "assume-own" && in.Op != "exchange" {
		return refuse("malformed-call", ErrDenied)
	}
	if in.Request.Customization, err = parseOptional(in.Target); err != nil {
		return refuse("malformed-target", ErrDenied)
	}
	in.Ticket.Sealed = in.Sealed
	switch in.Op {
	case "attach", "more":
		if err := con.attach(ctx, s, in.Op == "attach"); err != nil {
			return refuse("no-socket", err)
		}
		return nil
	case "assume-own", "exchange":
		ev, err := ParseEvidence(in.Evidence)
		if err != nil {
			return refuse("malformed-evidence", ErrDenied)
		}
		door := f.AssumeOwn
		if in.Op == "exchange" {
			door = f.Exchange
		}
		got, err := door(ctx, ev, in.Request)
		if err != nil {
			return err
		}
		out.Session = got.encode()
		return got.Close()
	case "redeem":
		if con.worker {
			c, err := f.openTicket(in.Ticket)
			if err != nil {
				return refuse("bad-ticket", ErrTicket)
			}
			if !con.ticket.IsZero() && con.ticket != c.Snapshot {
				return refuse("another-ticket", ErrTicket)
			}
			con.ticket = c.Snapshot
		}
		got, err := f.Redeem(ctx, in.Ticket, in.Verb)
		if err != nil {
			return err
		}
		out.Session = got.encode()
		return got.Close()
	case "register":
		if len(in.Manifest) != 32 {
			return refuse("malformed-digest", ErrTicket)
		}
		return f.Register(ctx, in.Ticket, [32]byte(in.Manifest))
	case "finish":
		return f.Finish(ctx, in.Ticket, in.Score)
	case "abandon":
		return f.Abandon(ctx, in.Ticket, in.Reason)
	case "unfinished":
		after, err := parseOptional(in.After)
		if err != nil {
			return refuse("malformed-page", ErrDenied)
		}
		out.Open, err = f.unfinished(ctx, after, pageRows)
		out.More = len(out.Open) == pageRows
		return err
	case "version":
		out.Version = f.version()
		return nil
	case "revoke":
		if in.Revoke == nil {
			return refuse("malformed-revocation", ErrConflict)
		}
		return f.Revoke(ctx, *in.Revoke)
	case "report":
		return f.Report(ctx, Refusal{in.Request.RequestID, in.Request.Customization, in.Reason})
	case "removed":
		return f.Removed(ctx, in.Ticket)
	}
	if !strings.HasPrefix(in.Op, "catalog.") {
		return refuse("unknown-call", ErrOperation)
	}
	id, err := tenant.ParseSessionID(in.Sess)
	if err != nil {
		return refuse("malformed-session", ErrClosed)
	}
	leave, err := f.enterCatalog(ctx, id)
	if err != nil {
		return err
	}
	defer leave()
	return con.catalog(ctx, id, in, out)
}

func (con *connection) catalog(ctx context.Context, id tenant.SessionID, in *call, out *reply) (err error) {
	f, target := con.f, in.Request.Customization
	withTicket := func(r Row, t Ticket, err error) error {
		out.Row = &r
		if len(t.Sealed) > 0 {
			out.Ticket = &t
		}
		return err
	}
	switch in.Op {
	case "catalog.create":
		if in.Create == nil {
			return con.refuse(ctx, in, "malformed-create", ErrConflict)
		}
		return withTicket(f.create(ctx, id, *in.Create))
	case "catalog.update":
		return withTicket(f.update(ctx, id, target, in.Source))
	case "catalog.activate":
		return f.activate(ctx, id, target, in.Version)
	case "catalog.deactivate":
		return f.deactivate(ctx, id, target)
	case "catalog.delete":
		t, err := f.delete(ctx, id, target)
		out.Ticket = &t
		return err
	case "catalog.list":
		after, err := parseOptional(in.After)
		if err != nil {
			return con.refuse(ctx, in, "malformed-page", ErrDenied)
		}
		out.Rows, out.More, err = f.list(ctx, id, after)
		return err
	case "catalog.get", "catalog.shares":
		r, s, err := f.get(ctx, id, target)
		if err != nil {
			return err
		}
		row := r.row(s.caller.User())
		out.Row = &row
		for _, u := range r.Users {
			out.Users = append(out.Users, u.String())
		}
		return nil
	case "catalog.share", "catalog.unshare":
		u, err := tenant.ParseUserID(in.User)
		if err != nil {
			return con.refuse(ctx, in, "malformed-user", ErrConflict)
		}
		return f.share(ctx, id, target, u, in.Op == "catalog.share")
	}
	return con.refuse(ctx, in, "unknown-call", ErrOperation)
}

// attach serves a socket that came over this one.
func (con *connection) attach(ctx context.Context, s *stream, worker bool) error {
	if len(s.fds) != 1 {
		return ErrRole
	}
	file := os.NewFile(uintptr(s.fds[0]), "fas")
	s.fds = nil
	c, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return ErrRole
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return ErrRole
	}
	// What a workload passes on acts for that workload, and was made by it.
	cred, err := peerCred(u)
	if err != nil || cred.known && cred.uid != con.peer.uid {
		_ = u.Close()
		return ErrRole
	}
	con.wg.Go(func() { _ = con.f.serve(ctx, u, &connection{f: con.f, peer: con.peer, worker: worker, wg: con.wg}) })
	return nil
}
