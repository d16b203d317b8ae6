package fas_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// A tenant that floods is refused and counted; another one's calls all succeed
// meanwhile.
func TestFlood(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) { o.Limits = fas.Limits{Rate: 50, Burst: 20, Concurrent: 4} })
	quiet := w.another("quiet")
	ctx, stop := context.WithCancel(context.Background())
	var served, refused atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := w.own("ListCustomizations", tenant.CustomizationID{})
				switch {
				case err == nil:
					served.Add(1)
				case errors.Is(err, fas.ErrLimited):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	for range 40 {
		ev := w.by(quiet, "ListCustomizations", []byte(`{"nonce":"`+tenant.NewRequestID().String()+`"}`), time.Now())
		if _, err := w.c.AssumeOwn(ctx, ev, fas.Request{RequestID: tenant.NewRequestID()}); err != nil {
			t.Fatalf("the other tenant notices: %v", err)
		}
		time.Sleep(25 * time.Millisecond)
	}
	stop()
	wg.Wait()
	if served.Load() == 0 || refused.Load() < 10 {
		t.Fatalf("%d served, %d refused: no flood", served.Load(), refused.Load())
	}
	var records, counted int64
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		records, counted = 0, 0
		w.rec.count(func(e audit.Event) bool {
			if e.Reason == "over-the-limit" || e.Kind == "firewall.refusals" {
				n, err := strconv.ParseInt(e.Detail["count"], 10, 64)
				w.ok(err)
				records, counted = records+1, counted+n
				if e.Tenant != w.tenant {
					t.Errorf("recorded for %v", e.Tenant)
				}
			}
			return false
		})
		if counted == refused.Load() || time.Now().After(end) {
			break
		}
	}
	if counted != refused.Load() || records > 10 {
		t.Errorf("%d refusals, of which %d are counted in %d records", refused.Load(), counted, records)
	}
}

// Calls that nobody signed do not fill the log either.
func TestStrangersFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.key
	key.SecretAccessKey = "a guess"
	ev := w.by(key, "ListCustomizations", []byte(`{}`), time.Now())
	const calls = 6000
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range calls / 8 {
				if _, err := w.c.AssumeOwn(context.Background(), ev, fas.Request{RequestID: tenant.NewRequestID()}); !errors.Is(err, fas.ErrDenied) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n := w.rec.count(func(e audit.Event) bool { return e.Reason == "bad-signature" })
	if n < 2000 || n == calls {
		t.Errorf("%d records of %d refusals", n, calls)
	}
	if _, err := w.own("ListCustomizations", tenant.CustomizationID{}); err != nil {
		t.Errorf("control: %v", err)
	}
}

// A session is no way around the limits: calls on the catalog and of workers
// count too.
func TestEveryCallCounts(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, func(o *firewalld.Options) { o.Limits = fas.Limits{Rate: 1e-6, Burst: 6} })
	ctx := context.Background()
	s, err := w.own("ListCustomizations", tenant.CustomizationID{})
	w.ok(err)
	_, err = w.c.Catalog(s).List(ctx)
	w.ok(err)
	_, ticket := w.create()
	worker, err := w.c.Redeem(ctx, ticket, fas.VerbStage)
	w.ok(errors.Join(err, worker.Close()))
	_, err = w.c.Catalog(s).List(ctx)
	w.ok(err)
	_, err = w.c.Catalog(s).List(ctx)
	w.refused("a session", err, fas.ErrLimited)
	_, err = w.c.Redeem(ctx, ticket, fas.VerbStage)
	w.refused("a ticket", err, fas.ErrLimited)
	_, err = w.own("ListCustomizations", tenant.CustomizationID{})
	w.refused("a signed call", err, fas.ErrLimited)
	if n := w.rec.count(func(e audit.Event) bool { return e.Reason == "over-the-limit" && e.Tenant == w.tenant }); n != 1 {
		t.Errorf("%d records of one second", n)
	}
}
