package fas

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/tenant"
)

// CreateInput describes a new customization.
type CreateInput struct {
	Name        tenant.Text `json:"name"`
	Description tenant.Text `json:"description"`
	SourceURI   tenant.Text `json:"source"`
	// ClientToken makes a repeated Create of the same tenant harmless: the same
	// input under the same token is the same customization, another input is
	// [ErrConflict]. Empty means that every Create is a new one. At most 256
	// bytes.
	ClientToken string `json:"client_token,omitempty"`
}

// tokens are digests of the client token, bound to the tenant, and of what was
// asked under it. Both are zero without a token. A token is of a tenant's
// choosing, so it is kept as a digest only.
func (in CreateInput) tokens(t tenant.ID) (token, input [32]byte, err error) {
	asked, err := json.Marshal([]tenant.Text{in.Name, in.Description, in.SourceURI})
	if err != nil || len(asked) > maxTexts {
		return token, input, ErrConflict
	}
	if in.ClientToken == "" {
		return token, input, nil
	}
	if len(in.ClientToken) > 256 {
		return token, input, ErrConflict
	}
	return sha256.Sum256([]byte(t.String() + "\x00" + in.ClientToken)), sha256.Sum256(asked), nil
}

// maxTexts bounds what a tenant typed for one row, in bytes of a message, so
// that a page of rows is one.
const maxTexts = 32 << 10

// MaxCustomizations is how many customizations a tenant may have.
const MaxCustomizations = 100

func (f *Firewall) create(ctx context.Context, id tenant.SessionID, in CreateInput) (Row, Ticket, error) {
	s, err := f.catalog(ctx, id, VerbCatalogCreate, tenant.CustomizationID{})
	if err != nil {
		return Row{}, Ticket{}, err
	}
	e := s.event(ctx, "catalog.create", id, tenant.CustomizationID{})
	token, input, err := in.tokens(s.caller.Tenant())
	if err != nil {
		return Row{}, Ticket{}, f.deny(ctx, e, "too-long", err)
	}
	// Counting and looking for the token must not race with another Create.
	defer f.creating.lock(s.caller.Tenant())()
	have, err := f.c.Registry.List(ctx, s.caller.Tenant())
	if err != nil {
		return Row{}, Ticket{}, f.deny(ctx, e, "not-done", err)
	}
	if i := slices.IndexFunc(have, func(r Record) bool { return in.ClientToken != "" && r.Token == token }); i >= 0 {
		e.Customization = have[i].Customization
		if have[i].Input != input {
			return Row{}, Ticket{}, f.deny(ctx, e, "token-of-another-input", ErrConflict)
		}
		detail(&e, "repeated", "true")
		if err := f.allow(ctx, e, true); err != nil {
			return Row{}, Ticket{}, err
		}
		return have[i].row(s.caller.User()), Ticket{}, nil
	}
	if len(have) >= MaxCustomizations {
		return Row{}, Ticket{}, f.deny(ctx, e, "too-many-customizations", ErrConflict)
	}
	r := Record{Customization: tenant.NewCustomizationID(), Tenant: s.caller.Tenant(), Collection: tenant.NewCollectionID(),
		Name: in.Name, Description: in.Description, SourceURI: in.SourceURI, Token: token, Input: input, State: Creating, Next: 1, Updated: time.Now()}
	if r.Grant, err = f.c.Keys.Grant(ctx, r.Tenant, r.Customization); err != nil {
		return Row{}, Ticket{}, f.deny(ctx, e, "key-refused", err)
	}
	t, err := f.record(ctx, &r, e, s)
	if err != nil {
		// A grant that no row names would be nobody's to end; and a registry may have
		// kept the row all the same.
		ctx = context.WithoutCancel(ctx)
		if _, gerr := f.c.Registry.Get(ctx, r.Customization); errors.Is(gerr, authz.ErrUnknown) {
			err = errors.Join(err, f.c.Keys.Retire(ctx, r.Grant))
		}
		return Row{}, Ticket{}, err
	}
	return r.row(s.caller.User()), t, nil
}

// record begins the first version of a new row, and keeps it.
func (f *Firewall) record(ctx context.Context, r *Record, e audit.Event, s catalogSession) (Ticket, error) {
	if err := f.begin(ctx, r, s); err != nil {
		return Ticket{}, f.deny(ctx, e, "key-refused", err)
	}
	t, err := f.ticket(r, r.Pending, false)
	if err != nil {
		return Ticket{}, err
	}
	e.Customization, e.Collection, e.Snapshot = r.Customization, r.Collection, r.Pending.ID
	detail(&e, "name", audit.Clip(r.Name.String()))
	if err := f.allow(ctx, e, true); err != nil {
		return Ticket{}, err
	}
	if err := f.c.Registry.Create(ctx, *r); err != nil {
		return Ticket{}, f.deny(ctx, e, undone(err), err)
	}
	return t, nil
}

// begin gives the row a new unfinished version with keys of its own.
func (f *Firewall) begin(ctx context.Context, r *Record, s catalogSession) error {
	p := &Snapshot{ID: tenant.NewSnapshotID(), Version: r.Next, Until: time.Now().Add(ticketLife), Evidence: s.evidence}
	for purpose, to := range map[string]*[]byte{"snapshot": &p.Key, "staging": &p.Staging} {
		plain, wrapped, err := f.c.Keys.Generate(ctx, r.Grant, Binding{r.Tenant, r.Customization, r.Collection, p.ID, purpose})
		if err != nil {
			return err
		}
		clear(plain)
		*to = wrapped
	}
	r.Pending, r.Next = p, r.Next+1
	return nil
}

// change runs a catalog verb on one row, recorded before it takes effect, and
// once more where the row does not allow it.
func (f *Firewall) change(ctx context.Context, id tenant.SessionID, v Verb, target tenant.CustomizationID, do func(catalogSession, *Record) error) (Record, error) {
	s, err := f.catalog(ctx, id, v, target)
	if err != nil {
		return Record{}, err
	}
	e := s.event(ctx, string(v), id, target)
	if err := f.allow(ctx, e, true); err != nil {
		return Record{}, err
	}
	var out Record
	err = f.c.Registry.Update(ctx, target, func(r *Record) error {
		if r.Tenant != s.caller.Tenant() {
			return ErrDenied
		}
		r.Updated = time.Now()
		if err := do(s, r); err != nil {
			return err
		}
		out = *r
		return nil
	})
	if err != nil {
		return Record{}, f.deny(ctx, e, undone(err), err)
	}
	return out, nil
}

func (f *Firewall) update(ctx context.Context, id tenant.SessionID, target tenant.CustomizationID, source tenant.Text) (Row, Ticket, error) {
	if text, err := json.Marshal(source); err != nil || len(text) > maxTexts {
		e := event(ctx, string(VerbCatalogUpdate), Request{Customization: target})
		e.Session = id
		return Row{}, Ticket{}, f.deny(ctx, e, "too-long", ErrConflict)
	}
	r, err := f.change(ctx, id, VerbCatalogUpdate, target, func(s catalogSession, r *Record) error {
		if r.Pending != nil || r.Latest == nil || r.State == Deleting {
			return ErrConflict
		}
		r.SourceURI = source
		if r.Active == nil {
			r.State = Updating
		}
		return f.begin(ctx, r, s)
	})
	if err != nil {
		return Row{}, Ticket{}, err
	}
	t, err := f.ticket(&r, r.Pending, false)
	return r.row(tenant.UserID{}), t, err
}

func (f *Firewall) activate(ctx context.Context, id tenant.SessionID, target tenant.CustomizationID, version int) error {
	_, err := f.change(ctx, id, VerbCatalogActivate, target, func(_ catalogSession, r *Record) error {
		if r.Latest == nil || r.State == Deleting || version != 0 && version != r.Latest.Version {
			return ErrConflict
		}
		active := *r.Latest
		r.Active, r.State = &active, Activated
		return nil
	})
	return err
}

func (f *Firewall) deactivate(ctx context.Context, id tenant.SessionID, target tenant.CustomizationID) error {
	_, err := f.change(ctx, id, VerbCatalogDeactivate, target, func(_ catalogSession, r *Record) error {
		if r.Active == nil {
			return ErrConflict
		}
		r.Active, r.State = nil, Created
		return nil
	})
	return err
}

// delete drops the wrapped keys first: what is left on disk is noise.
func (f *Firewall) delete(ctx context.Context, id tenant.SessionID, target tenant.CustomizationID) (Ticket, error) {
	grant := ""
	r, err := f.change(ctx, id, VerbCatalogDelete, target, func(_ catalogSession, r *Record) error {
		if r.Active != nil || r.Pending != nil {
			return ErrConflict
		}
		grant, r.Grant = r.Grant, ""
		r.Latest, r.State = nil, Deleting
		return nil
	})
	if err != nil {
		return Ticket{}, err
	}
	if grant != "" {
		if err := f.c.Keys.Retire(ctx, grant); err != nil {
			return Ticket{}, err
		}
	}
	return f.ticket(&r, &Snapshot{ID: tenant.NewSnapshotID()}, true)
}

func (f *Firewall) share(ctx context.Context, id tenant.SessionID, target tenant.CustomizationID, user tenant.UserID, on bool) error {
	_, err := f.change(ctx, id, VerbCatalogShare, target, func(_ catalogSession, r *Record) error {
		i := slices.Index(r.Users, user)
		switch {
		case on && i < 0 && len(r.Users) >= 1000:
			return ErrConflict
		case on && i < 0:
			r.Users = append(r.Users, user)
		case !on && i >= 0:
			r.Users = slices.Delete(r.Users, i, i+1)
		}
		return nil
	})
	return err
}

func (f *Firewall) get(ctx context.Context, id tenant.SessionID, target tenant.CustomizationID) (Record, catalogSession, error) {
	s, err := f.catalog(ctx, id, VerbCatalogGet, target)
	if err != nil {
		return Record{}, s, err
	}
	r, err := f.c.Registry.Get(ctx, target)
	if err != nil || r.Tenant != s.caller.Tenant() {
		return Record{}, s, f.deny(ctx, s.event(ctx, string(VerbCatalogGet), id, target), "not-authorized", ErrDenied)
	}
	return r, s, nil
}

// list is the next page after a customization.
func (f *Firewall) list(ctx context.Context, id tenant.SessionID, after tenant.CustomizationID) (rows []Row, more bool, err error) {
	s, err := f.catalog(ctx, id, VerbCatalogList, tenant.CustomizationID{})
	if err != nil {
		return nil, false, err
	}
	rs, err := f.c.Registry.List(ctx, s.caller.Tenant())
	if err != nil {
		return nil, false, f.deny(ctx, s.event(ctx, string(VerbCatalogList), id, tenant.CustomizationID{}), "not-done", err)
	}
	size := 0
	for _, r := range pageOf(rs, after, math.MaxInt) {
		row := r.row(s.caller.User())
		b, err := json.Marshal(row)
		if err != nil {
			return nil, false, err
		}
		if size += len(b) + 1; size > maxMessage/2 && len(rows) > 0 {
			return rows, true, nil
		}
		rows = append(rows, row)
	}
	return rows, false, nil
}
