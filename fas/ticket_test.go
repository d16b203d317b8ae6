package fas

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

func ticketFirewall(t *testing.T, key byte) *Firewall {
	t.Helper()
	block, err := aes.NewCipher(bytes.Repeat([]byte{key}, 32))
	if err != nil {
		t.Fatal(err)
	}
	f := &Firewall{}
	if f.tickets, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTicketLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := ticketFirewall(t, 1)
		r := &Record{Customization: tenant.NewCustomizationID(), Tenant: tenant.NewID(), Collection: tenant.NewCollectionID()}
		s := &Snapshot{ID: tenant.NewSnapshotID(), Version: 2}
		ticket, err := f.ticket(r, s, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ticketFirewall(t, 2).openTicket(ticket); !errors.Is(err, ErrTicket) {
			t.Errorf("another firewall's: %v", err)
		}
		time.Sleep(24*time.Hour - 1)
		c, err := f.openTicket(ticket)
		if err != nil || c.Snapshot != s.ID || c.Customization != r.Customization || c.Tenant != r.Tenant || c.Version != 2 || c.Remove {
			t.Errorf("%+v, %v", c, err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := f.openTicket(ticket); !errors.Is(err, ErrTicket) {
			t.Errorf("after a day: %v", err)
		}
	})
}

// What the outside of a ticket says has no influence, and nothing else that
// this key sealed is a ticket.
func TestTicketIsWhatIsInside(t *testing.T) {
	t.Parallel()
	f := ticketFirewall(t, 1)
	r := &Record{Customization: tenant.NewCustomizationID(), Tenant: tenant.NewID(), Collection: tenant.NewCollectionID()}
	good, err := f.ticket(r, &Snapshot{ID: tenant.NewSnapshotID(), Version: 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(ticketClaims{Customization: r.Customization, Tenant: r.Tenant, Snapshot: good.Snapshot, Version: 1, Until: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for name, sealed := range map[string][]byte{
		"nothing":                nil,
		"not sealed":             body,
		"sealed for another use": f.tickets.Seal(nil, nil, body, []byte("session")),
		"sealed for no use":      f.tickets.Seal(nil, nil, body, nil),
		"sealed nonsense":        f.tickets.Seal(nil, nil, []byte("nonsense"), []byte("ticket")),
		"sealed without an end":  f.tickets.Seal(nil, nil, []byte(`{"v":1}`), []byte("ticket")),
		"two of them":            append(bytes.Clone(good.Sealed), good.Sealed...),
	} {
		if _, err := f.openTicket(Ticket{good.Collection, good.Snapshot, sealed}); !errors.Is(err, ErrTicket) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := f.openTicket(Ticket{tenant.NewCollectionID(), tenant.NewSnapshotID(), good.Sealed})
	if err != nil || c.Snapshot != good.Snapshot {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := f.openTicket(Ticket{Sealed: f.tickets.Seal(nil, nil, body, []byte("ticket"))}); err != nil {
		t.Errorf("control: %v", err)
	}
}
