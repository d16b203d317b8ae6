package firewalld_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// A client that lost the answer asks again, signed anew, with the token of the
// first time.
func TestClientToken(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	text := func(s string) tenant.Text {
		n, err := tenant.NewText(s, 100)
		w.ok(err)
		return n
	}
	create := func(p person, name, token string) (fas.Row, fas.Ticket, error) {
		s := w.must(w.own(p, "CreateCustomization", tenant.CustomizationID{}))
		return w.c.Catalog(s).Create(ctx, fas.CreateInput{Name: text(name), SourceURI: text("s3://b/p/"), ClientToken: token})
	}
	count := func(p person) int {
		rows, err := w.c.Catalog(w.must(w.own(p, "ListCustomizations", tenant.CustomizationID{}))).List(ctx)
		w.ok(err)
		return len(rows)
	}
	first, ticket, err := create(w.admin, "one", "T")
	w.ok(err)
	again, none, err := create(w.admin, "one", "T")
	w.ok(err)
	if len(ticket.Sealed) == 0 || len(none.Sealed) != 0 || again.Customization != first.Customization || count(w.admin) != 1 {
		t.Errorf("a repeated create made %v besides %v, with a ticket of %d bytes", again.Customization, first.Customization, len(none.Sealed))
	}
	_, _, err = create(w.admin, "two", "T")
	w.refused("another input under the same token", err, fas.ErrConflict)
	_, _, err = create(w.admin, "one", strings.Repeat("t", 257))
	w.refused("a token that is too long", err, fas.ErrConflict)
	if theirs, tk, err := create(w.other, "one", "T"); err != nil || theirs.Customization == first.Customization || len(tk.Sealed) == 0 {
		t.Errorf("another tenant's token of the same text: %v, %v", theirs.Customization, err)
	}
	for _, token := range []string{"", "", "U"} {
		if r, tk, err := create(w.admin, "one", token); err != nil || len(tk.Sealed) == 0 || r.Customization == first.Customization {
			t.Errorf("token %q is not a repetition: %v", token, err)
		}
	}
	before := count(w.admin)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made, tickets := map[tenant.CustomizationID]bool{}, 0
	sessions := make([]*fas.Session, 16)
	for i := range sessions {
		sessions[i] = w.must(w.own(w.admin, "CreateCustomization", tenant.CustomizationID{}))
	}
	for _, s := range sessions {
		wg.Go(func() {
			r, tk, err := w.c.Catalog(s).Create(ctx, fas.CreateInput{Name: text("many"), ClientToken: "M"})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if made[r.Customization] = true; len(tk.Sealed) > 0 {
				tickets++
			}
		})
	}
	wg.Wait()
	if len(made) != 1 || tickets != 1 || count(w.admin) != before+1 {
		t.Errorf("16 creates with one token made %d customizations and %d tickets", len(made), tickets)
	}
}
