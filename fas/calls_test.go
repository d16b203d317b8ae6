package fas_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// What was signed before the firewall started may have been used before: it
// changes nothing any more, and is no read that would not be answered again.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) { o.ReadReplay = 8 * time.Second })
	ctx := context.Background()
	before := time.Now().Add(-10 * time.Second)
	request := func() fas.Request { return fas.Request{RequestID: tenant.NewRequestID()} }
	_, err := w.c.AssumeOwn(ctx, w.evidence("CreateCustomization", before), request())
	w.refused("a change", err, fas.ErrDenied)
	_, err = w.c.Exchange(ctx, w.evidence("CreateCustomization", before), request())
	w.refused("an exchange", err, fas.ErrDenied)
	_, err = w.c.Exchange(ctx, w.evidence("ListCustomizations", before), request())
	w.refused("an exchange for a read", err, fas.ErrDenied)
	_, err = w.c.AssumeOwn(ctx, w.evidence("ListCustomizations", before), request())
	w.refused("an old read", err, fas.ErrDenied)
	if got := w.rec.reasons(); !slices.Equal(got, slices.Repeat([]string{"before-start"}, 4)) {
		t.Errorf("recorded: %v", got)
	}
	_, err = w.c.AssumeOwn(ctx, w.evidence("ListCustomizations", time.Now().Add(-2*time.Second)), request())
	w.ok(err)
	_, err = w.own("CreateCustomization", tenant.CustomizationID{})
	w.ok(err)
}

// One signature, many at once: one of them is served.
func TestReplayedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ev := w.evidence("CreateCustomization", time.Now())
	var wg sync.WaitGroup
	results := make(chan error, 32)
	for range 32 {
		wg.Go(func() {
			_, err := w.c.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID()})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	good := 0
	for err := range results {
		if err == nil {
			good++
		} else if !errors.Is(err, fas.ErrReplayed) {
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("one signature was good %d times", good)
	}
}

// Many callers at once over one client: each has the session that it asked
// for, and each refusal reaches the one who earned it.
func TestManyCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows := []fas.Row{w.active(), w.active(), w.active()}
	seen := map[tenant.SessionID]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range 48 {
		wg.Go(func() {
			ctx, row := context.Background(), rows[n%3]
			if n%4 == 0 {
				_, err := w.own("GetRetrievals", tenant.NewCustomizationID())
				w.refused("a customization that is not there", err, fas.ErrDenied)
				_, err = w.c.Redeem(ctx, fas.Ticket{}, fas.VerbStage)
				w.refused("no ticket", err, fas.ErrTicket)
				_, err = w.own("NoSuchOperation", tenant.CustomizationID{})
				w.refused("no such operation", err, fas.ErrOperation)
				return
			}
			s, err := w.own("GetRetrievals", row.Customization)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if s.Customization() != row.Customization || s.Tenant() != w.tenant || s.User() != w.key.User || seen[s.ID()] {
				t.Errorf("call %d has the session of another", n)
			}
			seen[s.ID()] = true
			if err := errors.Join(s.WithKey(fas.VerbQuery, func([]byte) error { return nil }), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(seen) != 36 {
		t.Errorf("%d sessions", len(seen))
	}
}

// A firewall that has ended answers nobody, and a session that it gave lives
// on until its own end.
func TestFirewallEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	row := w.active()
	mine, theirs := sockets(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.srv.Serve(ctx, theirs) }()
	c, err := fas.Dial(mine)
	w.ok(err)
	defer c.Close()
	s, err := c.AssumeOwn(ctx, w.evidence("GetRetrievals", time.Now()), fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization})
	w.ok(err)
	cancel()
	w.ok(within(t, "Serve", func() error { return <-served }))
	for range 3 {
		_, err = c.AssumeOwn(context.Background(), w.evidence("GetRetrievals", time.Now()), fas.Request{RequestID: tenant.NewRequestID(), Customization: row.Customization})
		w.refused("after its end", err, fas.ErrInternal)
	}
	w.ok(s.WithKey(fas.VerbQuery, func([]byte) error { return nil }))
}
