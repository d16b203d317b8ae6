package fas

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/tenant"
)

const ticketLife = 24 * time.Hour

type ticketClaims struct {
	Customization tenant.CustomizationID `json:"c"`
	Tenant        tenant.ID              `json:"t"`
	Snapshot      tenant.SnapshotID      `json:"s"`
	Version       int                    `json:"v"`
	Remove        bool                   `json:"r,omitempty"` // of a deleted customization
	Until         time.Time              `json:"u"`
}

// ticket is for the steps of an unfinished version, or the removal of a deleted
// row. It may be made again for as long as the row waits; that makes the version
// itself live no longer.
func (f *Firewall) ticket(r *Record, s *Snapshot, remove bool) (Ticket, error) {
	b, err := json.Marshal(ticketClaims{r.Customization, r.Tenant, s.ID, s.Version, remove, time.Now().Add(ticketLife)})
	if err != nil {
		return Ticket{}, err
	}
	return Ticket{r.Collection, s.ID, f.tickets.Seal(nil, nil, b, []byte("ticket"))}, nil
}

// Unfinished is work that the registry waits for, with the ticket for it. A
// control plane asks at its start and ends what its journal does not know: it
// may have been killed after the registry's row changed and before its own
// journal said so.
type Unfinished struct {
	Customization tenant.CustomizationID `json:"customization"`
	Version       int                    `json:"version"`
	Remove        bool                   `json:"remove"` // of a deleted customization
	Ticket        Ticket                 `json:"-"`
	Sealed        []byte                 `json:"ticket"`
	Collection    tenant.CollectionID    `json:"collection"`
	Snapshot      tenant.SnapshotID      `json:"snapshot"`
}

// Unfinished lists the work that the registry waits for. The tickets open what
// those in the caller's journal open, and nothing else.
func (f *Firewall) Unfinished(ctx context.Context) ([]Unfinished, error) {
	return f.unfinished(ctx, tenant.CustomizationID{}, math.MaxInt)
}

// pageRows is how many rows one answer lists at most; a full row is far below
// a hundredth of a message.
const pageRows = 100

// unfinished is the next page, of at most n, after a customization.
func (f *Firewall) unfinished(ctx context.Context, after tenant.CustomizationID, n int) ([]Unfinished, error) {
	rows, err := f.c.Registry.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	rows = pageOf(rows, after, n)
	var out []Unfinished
	for i := range rows {
		r := &rows[i]
		e := event(ctx, "ticket.reissue", Request{Customization: r.Customization})
		e.Tenant = r.Tenant
		if err := f.allow(ctx, e, true); err != nil {
			return nil, err
		}
		s, remove := r.Pending, r.State == Deleting
		if remove {
			s = &Snapshot{ID: tenant.NewSnapshotID()}
		}
		t, err := f.ticket(r, s, remove)
		if err != nil {
			return nil, err
		}
		out = append(out, Unfinished{r.Customization, s.Version, remove, t, t.Sealed, t.Collection, t.Snapshot})
	}
	return out, nil
}

// pageOf is at most n of the rows after one, by the text of their IDs.
func pageOf(rows []Record, after tenant.CustomizationID, n int) []Record {
	rows, key := slices.Clone(rows), idText(after)
	slices.SortFunc(rows, func(a, b Record) int {
		return strings.Compare(a.Customization.String(), b.Customization.String())
	})
	at, found := slices.BinarySearchFunc(rows, key, func(r Record, k string) int { return strings.Compare(r.Customization.String(), k) })
	if found {
		at++
	}
	return rows[at:min(len(rows), at+min(n, len(rows)))]
}

func (f *Firewall) openTicket(t Ticket) (ticketClaims, error) {
	var c ticketClaims
	b, err := f.tickets.Open(nil, nil, t.Sealed, []byte("ticket"))
	if err != nil || json.Unmarshal(b, &c) != nil || !time.Now().Before(c.Until) {
		return c, ErrTicket
	}
	return c, nil
}

// pending returns the row and its unfinished version, if the ticket is for it.
func (f *Firewall) pending(ctx context.Context, c ticketClaims) (Record, error) {
	r, err := f.c.Registry.Get(ctx, c.Customization)
	if err != nil || r.Tenant != c.Tenant || c.Remove {
		return r, ErrTicket
	}
	return r, c.unfinished(&r)
}

func (c ticketClaims) unfinished(r *Record) error {
	if r.Pending == nil || r.Pending.ID != c.Snapshot || r.Pending.Version != c.Version || r.State == Deleting {
		return ErrTicket
	}
	return nil
}

// due refuses what may not go on: a version past its end, and one that a call
// began which is revoked, or made before all of its tenant's were.
func (f *Firewall) due(ctx context.Context, r *Record, e audit.Event) error {
	if !time.Now().Before(r.Pending.Until) {
		return f.deny(ctx, e, "version-expired", ErrTicket)
	}
	e.Evidence = r.Pending.Evidence
	return f.refuseRevoked(ctx, e, tenant.SessionID{}, r.Pending.Until.Add(-ticketLife))
}

// Redeem gives a worker the keys for one step of an unfinished version.
func (f *Firewall) Redeem(ctx context.Context, t Ticket, v Verb) (*Session, error) {
	c, err := f.openTicket(t)
	e := event(ctx, "ticket.redeem", Request{Customization: c.Customization})
	e.Tenant, e.Snapshot = c.Tenant, c.Snapshot
	detail(&e, "verb", string(v[:min(len(v), 64)]))
	if err != nil {
		return nil, f.deny(ctx, e, "bad-ticket", err)
	}
	if err := f.enter(ctx, e); err != nil {
		return nil, err
	}
	defer f.limits.leave(c.Tenant)
	if !slices.Contains([]Verb{VerbStage, VerbIndex, VerbEvaluate}, v) {
		return nil, f.deny(ctx, e, "not-a-step", ErrTicket)
	}
	r, err := f.pending(ctx, c)
	if err != nil {
		return nil, f.deny(ctx, e, "nothing-unfinished", err)
	}
	if err := f.due(ctx, &r, e); err != nil {
		return nil, err
	}
	if r.Pending.Registered != (v == VerbEvaluate) {
		return nil, f.deny(ctx, e, "step-not-due", ErrTicket)
	}
	s := &Session{id: tenant.NewSessionID(), tenant: r.Tenant, customization: r.Customization, collection: r.Collection,
		snapshot: r.Pending.ID, manifest: r.Pending.Manifest, version: r.Pending.Version, verbs: []Verb{v},
		expires: time.Now().Add(15 * time.Minute), keys: map[Verb]tenant.Secret{}}
	unwrap := func(verb Verb, purpose string, wrapped []byte) error {
		key, err := f.c.Keys.Unwrap(ctx, r.Grant, Binding{r.Tenant, r.Customization, r.Collection, r.Pending.ID, purpose}, wrapped)
		if err == nil {
			s.keys[verb] = tenant.NewSecret(key)
		}
		return err
	}
	if v != VerbStage {
		err = unwrap(v, "snapshot", r.Pending.Key)
	}
	if v != VerbEvaluate {
		if v == VerbIndex {
			s.verbs = append(s.verbs, VerbStage)
		}
		err = errors.Join(err, unwrap(VerbStage, "staging", r.Pending.Staging))
	}
	if err != nil {
		_ = s.Close()
		return nil, f.deny(ctx, e, "key-refused", ErrDenied)
	}
	e.Session, e.Collection = s.id, s.collection
	if err := f.allow(ctx, e, true); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// Register pins the digest of the finished snapshot. The first one stays.
func (f *Firewall) Register(ctx context.Context, t Ticket, manifest [32]byte) error {
	return f.step(ctx, "ticket.register", t, func(r *Record) error {
		if manifest == [32]byte{} {
			return ErrTicket
		}
		if r.Pending.Registered && r.Pending.Manifest != manifest {
			return ErrConflict
		}
		r.Pending.Manifest, r.Pending.Registered = manifest, true
		return nil
	})
}

// Finish makes the version complete; it does not activate it. A finished
// version stays finished when the ticket comes again.
func (f *Firewall) Finish(ctx context.Context, t Ticket, score float64) error {
	if c, err := f.openTicket(t); err == nil && !c.Remove {
		if r, err := f.c.Registry.Get(ctx, c.Customization); err == nil && r.Latest != nil && r.Latest.ID == c.Snapshot {
			return nil
		}
	}
	return f.step(ctx, "ticket.finish", t, func(r *Record) error {
		if !r.Pending.Registered {
			return ErrConflict
		}
		r.Latest, r.Pending, r.Score, r.Error = r.Pending, nil, score, ""
		r.Latest.Staging = nil
		r.State = Created
		if r.Active != nil {
			r.State = Activated
		}
		return nil
	})
}

// Abandon drops the keys of an unfinished version. With no finished version
// the grant is retired too. reason is a code for the customer.
func (f *Firewall) Abandon(ctx context.Context, t Ticket, reason string) error {
	c, err := f.openTicket(t)
	if err != nil {
		return f.deny(ctx, event(ctx, abandon, Request{}), "bad-ticket", err)
	}
	if r, err := f.c.Registry.Get(ctx, c.Customization); err != nil || c.unfinished(&r) != nil {
		return nil // nothing is left to take back
	}
	grant := ""
	err = f.step(ctx, abandon, t, func(r *Record) error {
		r.Pending, r.Error = nil, reason
		switch {
		case r.Active != nil:
			r.State = Activated
		case r.Latest != nil:
			r.State = UpdateFailed
		default:
			r.State = CreationFailed
			grant, r.Grant = r.Grant, ""
		}
		return nil
	})
	if err == nil && grant != "" {
		err = f.c.Keys.Retire(ctx, grant)
	}
	return err
}

// Removed ends a deletion: the row goes when the files are gone.
func (f *Firewall) Removed(ctx context.Context, t Ticket) error {
	c, err := f.openTicket(t)
	e := event(ctx, "ticket.removed", Request{Customization: c.Customization})
	e.Tenant = c.Tenant
	if err != nil || !c.Remove {
		return f.deny(ctx, e, "bad-ticket", ErrTicket)
	}
	if err := f.allow(ctx, e, true); err != nil {
		return err
	}
	if err := f.c.Registry.Delete(ctx, c.Customization); err != nil {
		return f.deny(ctx, e, undone(err), err)
	}
	return nil
}

const abandon = "ticket.abandon"

// step does one step of an unfinished version, recorded before it is done, and
// once more where the row does not allow it.
func (f *Firewall) step(ctx context.Context, kind string, t Ticket, change func(*Record) error) error {
	c, err := f.openTicket(t)
	e := event(ctx, kind, Request{Customization: c.Customization})
	e.Tenant, e.Snapshot = c.Tenant, c.Snapshot
	if err != nil {
		return f.deny(ctx, e, "bad-ticket", err)
	}
	r, err := f.pending(ctx, c)
	if err != nil {
		return f.deny(ctx, e, "nothing-unfinished", err)
	}
	if kind != abandon { // which only takes away
		if err := f.due(ctx, &r, e); err != nil {
			return err
		}
	}
	if err := f.allow(ctx, e, true); err != nil {
		return err
	}
	err = f.c.Registry.Update(ctx, c.Customization, func(r *Record) error {
		if err := c.unfinished(r); err != nil {
			return err
		}
		r.Updated = time.Now()
		return change(r)
	})
	if err != nil {
		return f.deny(ctx, e, undone(err), err)
	}
	return nil
}
