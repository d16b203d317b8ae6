package fas_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// row is a registry of one row.
type row struct {
	fas.Registry
	r fas.Record
}

func (r *row) Get(context.Context, tenant.CustomizationID) (fas.Record, error) { return r.r, nil }
func (r *row) Unfinished(context.Context) ([]fas.Record, error)                { return []fas.Record{r.r}, nil }
func (r *row) Update(_ context.Context, _ tenant.CustomizationID, f func(*fas.Record) error) error {
	return f(&r.r)
}

// plainKeys unwraps anything.
type plainKeys struct{ fas.Keys }

func (plainKeys) Unwrap(context.Context, string, fas.Binding, []byte) ([]byte, error) {
	return make([]byte, 32), nil
}
func (plainKeys) Retire(context.Context, string) error { return nil }

// A version is over a day after it began, however often its ticket is made anew:
// what was revoked meanwhile may be forgotten then. Only to give it up is left.
func TestVersionsEnd(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, until := range map[string]time.Duration{"over": -time.Second, "the control": time.Minute} {
		c := whole(t)
		at := &row{r: fas.Record{Customization: tenant.NewCustomizationID(), Tenant: tenant.NewID(), Collection: tenant.NewCollectionID(), State: fas.Creating,
			Pending: &fas.Snapshot{ID: tenant.NewSnapshotID(), Version: 1, Until: time.Now().Add(until)}}}
		c.Registry, c.Keys = at, plainKeys{}
		f, err := fas.NewFirewall(c)
		if err != nil {
			t.Fatal(err)
		}
		open, err := f.Unfinished(ctx)
		if err != nil || len(open) != 1 {
			t.Fatal(open, err)
		}
		ticket := open[0].Ticket
		var want error
		if until < 0 {
			want = fas.ErrTicket
		}
		_, err = f.Redeem(ctx, ticket, fas.VerbStage)
		for step, got := range map[string]error{"redeem": err, "register": f.Register(ctx, ticket, [32]byte{1})} {
			if !errors.Is(got, want) || (got == nil) != (want == nil) {
				t.Errorf("%s, %s: %v, not %v", name, step, got, want)
			}
		}
		at.r.Pending.Registered = true
		if until < 0 {
			if err := f.Finish(ctx, ticket, 1); !errors.Is(err, fas.ErrTicket) || at.r.Latest != nil {
				t.Errorf("%s, finish: %v", name, err)
			}
			if err := f.Abandon(ctx, ticket, "x"); err != nil || at.r.Pending != nil {
				t.Errorf("%s, abandon: %v", name, err)
			}
		} else if err := f.Finish(ctx, ticket, 1); err != nil || at.r.Latest == nil {
			t.Errorf("%s, finish: %v", name, err)
		}
	}
}
