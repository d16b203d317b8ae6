package fas

import (
	"context"

	"github.com/cloisterdev/cloister/tenant"
)

// Catalog makes calls on the catalog in the name of one session. Verb and
// target are checked in the firewall, against the session it issued.
type Catalog struct {
	c *Client
	s *Session
}

// Catalog returns the calls that a session may make.
func (c *Client) Catalog(s *Session) *Catalog { return &Catalog{c, s} }

func (k *Catalog) do(ctx context.Context, target tenant.CustomizationID, in *call) (reply, error) {
	if err := k.s.Err(); err != nil {
		return reply{}, err
	}
	in.Sess, in.Target = k.s.id.String(), idText(target)
	return k.c.do(ctx, in)
}

func (k *Catalog) withTicket(ctx context.Context, target tenant.CustomizationID, in *call) (Row, Ticket, error) {
	out, err := k.do(ctx, target, in)
	if err != nil {
		return Row{}, Ticket{}, err
	}
	if out.Row == nil {
		return Row{}, Ticket{}, ErrInternal
	}
	if out.Ticket == nil { // there is nothing to do
		return *out.Row, Ticket{}, nil
	}
	return *out.Row, *out.Ticket, nil
}

// Create makes a row with an unfinished first version. The ticket is empty
// when the client token was seen before: there is nothing left to do then.
func (k *Catalog) Create(ctx context.Context, in CreateInput) (Row, Ticket, error) {
	return k.withTicket(ctx, tenant.CustomizationID{}, &call{Op: "catalog.create", Create: &in})
}

// Update begins another version of a finished customization.
func (k *Catalog) Update(ctx context.Context, id tenant.CustomizationID, source tenant.Text) (Row, Ticket, error) {
	return k.withTicket(ctx, id, &call{Op: "catalog.update", Source: source})
}

// Activate serves the latest finished version; a version other than 0 must be
// the latest.
func (k *Catalog) Activate(ctx context.Context, id tenant.CustomizationID, version int) error {
	_, err := k.do(ctx, id, &call{Op: "catalog.activate", Version: version})
	return err
}

// Deactivate stops serving.
func (k *Catalog) Deactivate(ctx context.Context, id tenant.CustomizationID) error {
	_, err := k.do(ctx, id, &call{Op: "catalog.deactivate"})
	return err
}

// Delete drops the keys of an inactive customization; the ticket is for the
// removal of its files.
func (k *Catalog) Delete(ctx context.Context, id tenant.CustomizationID) (Ticket, error) {
	out, err := k.do(ctx, id, &call{Op: "catalog.delete"})
	if err != nil {
		return Ticket{}, err
	}
	if out.Ticket == nil {
		return Ticket{}, ErrInternal
	}
	return *out.Ticket, nil
}

// Get returns one row.
func (k *Catalog) Get(ctx context.Context, id tenant.CustomizationID) (Row, error) {
	out, err := k.do(ctx, id, &call{Op: "catalog.get"})
	if err != nil {
		return Row{}, err
	}
	if out.Row == nil {
		return Row{}, ErrInternal
	}
	return *out.Row, nil
}

// List returns the tenant's rows, in as many calls as they need. A row that
// another call adds or removes meanwhile may be there or not.
func (k *Catalog) List(ctx context.Context) (rows []Row, err error) {
	for in := (call{Op: "catalog.list"}); ; {
		out, err := k.do(ctx, tenant.CustomizationID{}, &in)
		if err != nil {
			return nil, err
		}
		rows = append(rows, out.Rows...)
		if !out.More || len(out.Rows) == 0 {
			return rows, nil
		}
		in.After = idText(out.Rows[len(out.Rows)-1].Customization)
	}
}

// Share gives a user of the tenant the right to use a customization.
func (k *Catalog) Share(ctx context.Context, id tenant.CustomizationID, u tenant.UserID) error {
	_, err := k.do(ctx, id, &call{Op: "catalog.share", User: idText(u)})
	return err
}

// Unshare takes it back.
func (k *Catalog) Unshare(ctx context.Context, id tenant.CustomizationID, u tenant.UserID) error {
	_, err := k.do(ctx, id, &call{Op: "catalog.unshare", User: idText(u)})
	return err
}

// Shares lists who may use a customization.
func (k *Catalog) Shares(ctx context.Context, id tenant.CustomizationID) ([]tenant.UserID, error) {
	out, err := k.do(ctx, id, &call{Op: "catalog.shares"})
	if err != nil {
		return nil, err
	}
	var users []tenant.UserID
	for _, s := range out.Users {
		u, err := tenant.ParseUserID(s)
		if err != nil {
			return nil, ErrInternal
		}
		users = append(users, u)
	}
	return users, nil
}
