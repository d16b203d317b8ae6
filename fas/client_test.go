package fas_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// request is what a scripted server reads of a call.
type request struct {
	Op     string `json:"op"`
	Ticket []byte `json:"ticket"`
}

// scripted is a server that hangs, delays or breaks: what a good firewall does
// not do. It answers as the script says; nil means never.
type scripted struct {
	t      *testing.T
	script func(request) []byte
	mu     sync.Mutex
	conns  []*net.UnixConn
}

func script(t *testing.T, answer func(request) []byte) (*scripted, *net.UnixConn) {
	t.Helper()
	mine, theirs := sockets(t)
	s := &scripted{t: t, script: answer}
	s.serve(theirs)
	t.Cleanup(func() { s.hangUp(); _ = mine.Close() })
	return s, mine
}

func (s *scripted) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *scripted) serve(c *net.UnixConn) {
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	go func() {
		for {
			head, oob := make([]byte, 4), make([]byte, 64)
			n, m, _, _, err := c.ReadMsgUnix(head, oob)
			if err == nil {
				_, err = io.ReadFull(c, head[n:])
			}
			if err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(head))
			if _, err := io.ReadFull(c, body); err != nil {
				return
			}
			var in request
			if err := json.Unmarshal(body, &in); err != nil {
				s.t.Error(err)
				return
			}
			var passed *net.UnixConn
			if m > 0 {
				passed = s.passed(oob[:m])
			}
			out := s.script(in)
			if passed != nil {
				s.serve(passed)
			}
			if out != nil {
				if _, err := c.Write(message(out)); err != nil {
					return
				}
			}
		}
	}()
}

func (s *scripted) passed(oob []byte) *net.UnixConn {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		s.t.Error(err)
		return nil
	}
	fds, err := syscall.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		s.t.Error(err)
		return nil
	}
	f := os.NewFile(uintptr(fds[0]), "passed")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	return c.(*net.UnixConn)
}

// numbered is an answer to redeem that carries the number of its ticket.
func numbered(in request) []byte {
	n := binary.BigEndian.Uint32(in.Ticket)
	b := []byte("{}\x00")
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(tenant.NewSessionID().String())
	text(tenant.NewID().String())
	b = append(b, make([]byte, 4+32)...) // four IDs that it has not, and a manifest
	b = binary.AppendUvarint(b, uint64(n))
	b = binary.AppendUvarint(b, uint64(time.Now().Add(time.Hour).Unix()))
	b = append(b, 0, 1)
	text("stage")
	return append(b, 0, 0, 0)
}

func ticket(n int) fas.Ticket {
	return fas.Ticket{Sealed: binary.BigEndian.AppendUint32(nil, uint32(n))}
}

// within fails when f hangs.
func within(t *testing.T, what string, f func() error) error {
	t.Helper()
	got := make(chan error, 1)
	go func() { got <- f() }()
	select {
	case err := <-got:
		return err
	case <-time.After(patience):
		t.Fatalf("%s: hangs", what)
		return nil
	}
}

func dial(t *testing.T, c *net.UnixConn, how func(*net.UnixConn) (*fas.Client, error)) *fas.Client {
	t.Helper()
	got, err := how(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = got.Close() })
	return got
}

var dials = map[string]func(*net.UnixConn) (*fas.Client, error){"Dial": fas.Dial, "DialWorker": fas.DialWorker}

// A caller's limit holds while the server hangs, at the first call and later.
func TestCallersLimit(t *testing.T) {
	t.Parallel()
	for name, how := range dials {
		for _, hang := range []string{"more", "redeem"} {
			if name == "DialWorker" && hang == "more" {
				continue // it opens no other socket
			}
			t.Run(name+" "+hang, func(t *testing.T) {
				t.Parallel()
				_, conn := script(t, func(in request) []byte {
					if in.Op == hang {
						return nil
					}
					return []byte(`{}`)
				})
				c := dial(t, conn, how)
				for range 3 {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
					err := within(t, "a call with a limit", func() error { _, err := c.Redeem(ctx, ticket(1), fas.VerbStage); return err })
					cancel()
					if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, fas.ErrInternal) {
						t.Errorf("%v", err)
					}
				}
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(20*time.Millisecond, cancel)
				err := within(t, "a call that is taken back", func() error { _, err := c.Redeem(ctx, ticket(1), fas.VerbStage); return err })
				if !errors.Is(err, context.Canceled) && !errors.Is(err, fas.ErrInternal) {
					t.Errorf("%v", err)
				}
				if err := within(t, "Close", c.Close); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A call that is too long is refused here, and costs no socket.
func TestTooLongACall(t *testing.T) {
	t.Parallel()
	_, conn := script(t, numbered)
	c := dial(t, conn, fas.DialWorker)
	if err := c.Abandon(t.Context(), ticket(1), strings.Repeat("x", 1<<20)); !errors.Is(err, fas.ErrInternal) {
		t.Errorf("%v", err)
	}
	if _, err := c.Redeem(t.Context(), ticket(1), fas.VerbStage); err != nil {
		t.Errorf("control: %v", err)
	}
}

// The context's error is found in what a cut call returns, beside ErrInternal.
func TestCutCallSaysWhy(t *testing.T) {
	t.Parallel()
	_, conn := script(t, func(request) []byte { return nil })
	c := dial(t, conn, fas.DialWorker)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Redeem(ctx, ticket(1), fas.VerbStage)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, fas.ErrInternal) {
		t.Errorf("%v", err)
	}
	var asked atomic.Int64
	_, conn = script(t, func(in request) []byte { asked.Add(1); return numbered(in) })
	c = dial(t, conn, fas.DialWorker)
	for range 20 {
		if _, err := c.Redeem(ctx, ticket(1), fas.VerbStage); !errors.Is(err, context.Canceled) {
			t.Errorf("a call of one who had left: %v", err)
		}
	}
	if s, err := c.Redeem(context.Background(), ticket(7), fas.VerbStage); err != nil || s.Version() != 7 || asked.Load() != 1 {
		t.Errorf("control: %v, %v, %d asked", s, err, asked.Load())
	}
}

// A caller who left does not leave his answer, late as it comes, to another.
func TestLateAnswersReachNobodyElse(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	_, conn := script(t, func(in request) []byte {
		if in.Op != "redeem" {
			return []byte(`{}`)
		}
		if binary.BigEndian.Uint32(in.Ticket)%3 == 0 {
			<-release
		}
		return numbered(in)
	})
	c := dial(t, conn, fas.Dial)
	var wg sync.WaitGroup
	for n := range 60 {
		wg.Go(func() {
			ctx := context.Background()
			if n%3 == 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 20*time.Millisecond)
				defer cancel()
			}
			s, err := c.Redeem(ctx, ticket(n), fas.VerbStage)
			switch {
			case err == nil && s.Version() != n:
				t.Errorf("call %d has the answer to %d", n, s.Version())
			case err != nil && n%3 != 0:
				t.Errorf("call %d: %v", n, err)
			}
		})
	}
	_ = within(t, "calls beside hanging ones", func() error { wg.Wait(); return nil })
	close(release)
	for n := range 20 {
		s, err := c.Redeem(context.Background(), ticket(1000+n), fas.VerbStage)
		if err != nil || s.Version() != 1000+n {
			t.Errorf("call %d: %v, %v", 1000+n, s, err)
		}
	}
}

// Calls do not queue behind one another: eight are under way at once, and no
// more sockets than that are opened for a hundred.
func TestCallsDoNotQueue(t *testing.T) {
	t.Parallel()
	var inside, sockets atomic.Int64
	all := make(chan struct{})
	_, conn := script(t, func(in request) []byte {
		if in.Op == "more" {
			sockets.Add(1)
			return []byte(`{}`)
		}
		if inside.Add(1) == 8 {
			close(all)
		}
		select {
		case <-all:
			return numbered(in)
		case <-time.After(patience):
			return nil
		}
	})
	c := dial(t, conn, fas.Dial)
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			if s, err := c.Redeem(context.Background(), ticket(n), fas.VerbStage); err != nil || s.Version() != n {
				t.Errorf("call %d: %v, %v", n, s, err)
			}
		})
	}
	_ = within(t, "eight calls at once", func() error { wg.Wait(); return nil })
	if sockets.Load() != 8 {
		t.Errorf("%d sockets", sockets.Load())
	}
}

// When the server goes, everybody is told, those too who waited for a socket.
func TestServerGoes(t *testing.T) {
	t.Parallel()
	for name, how := range dials {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{}, 100)
			s, conn := script(t, func(in request) []byte {
				if in.Op == "more" {
					return []byte(`{}`)
				}
				asked <- struct{}{}
				return nil
			})
			c := dial(t, conn, how)
			var wg sync.WaitGroup
			for n := range 30 {
				wg.Go(func() {
					if got, err := c.Redeem(context.Background(), ticket(n), fas.VerbStage); err == nil || got != nil {
						t.Errorf("call %d: %v", n, got)
					}
				})
			}
			<-asked
			s.hangUp()
			_ = within(t, "calls without a server", func() error { wg.Wait(); return nil })
		})
	}
}

func TestClosedClient(t *testing.T) {
	t.Parallel()
	for name, how := range dials {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, conn := script(t, func(in request) []byte {
				if in.Op == "redeem" {
					return numbered(in)
				}
				return []byte(`{}`)
			})
			c := dial(t, conn, how)
			ctx := context.Background()
			s, err := c.Redeem(ctx, ticket(1), fas.VerbStage)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.Close(), c.Close()); err != nil {
				t.Error(err)
			}
			_, err1 := c.Redeem(ctx, ticket(1), fas.VerbStage)
			_, err2 := c.Attach(ctx)
			_, err3 := c.Unfinished(ctx)
			_, err4 := c.Catalog(s).List(ctx)
			for i, err := range []error{err1, err2, err3, err4, c.Finish(ctx, ticket(1), 1)} {
				if !errors.Is(err, fas.ErrClosed) {
					t.Errorf("call %d: %v", i, err)
				}
			}
			if s.Err() != nil {
				t.Errorf("the session ended with its client: %v", s.Err())
			}
		})
		if c, err := how(nil); !errors.Is(err, fas.ErrConfig) || c != nil {
			t.Errorf("%s(nil): %v, %v", name, c, err)
		}
	}
}

// A request without a request ID, without evidence, or in the name of a session
// that is over, is refused before it is sent.
func TestRefusedAtHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	ev := w.evidence("ListCustomizations", time.Now())
	_, err1 := w.c.AssumeOwn(ctx, fas.Evidence{}, fas.Request{RequestID: tenant.NewRequestID()})
	_, err2 := w.c.AssumeOwn(ctx, ev, fas.Request{})
	_, err3 := w.c.Exchange(ctx, fas.Evidence{}, fas.Request{RequestID: tenant.NewRequestID()})
	for _, err := range []error{err1, err2, err3} {
		w.refused("a request that is not whole", err, fas.ErrDenied)
	}
	if got := w.rec.reasons(); len(got) != 0 {
		t.Errorf("it was sent: %v", got)
	}
	s, err := w.c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()})
	w.ok(err)
	_, err = w.c.Catalog(s).List(ctx)
	w.ok(err)
	w.ok(s.Close())
	_, err = w.c.Catalog(s).List(ctx)
	w.refused("a closed session", err, fas.ErrClosed)
	_, err = w.c.Catalog(nil).List(ctx)
	w.refused("no session", err, fas.ErrClosed)
	_, err = w.c.Catalog(&fas.Session{}).List(ctx)
	w.refused("a made-up session", err, fas.ErrClosed)
}
