package fas_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/tenant"
)

// Lists that are larger than a message come in pages, and whole.
func TestLongLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	text := func(s string) tenant.Text {
		out, err := tenant.NewText(s, 1<<20)
		w.ok(err)
		return out
	}
	create := func(in fas.CreateInput) (fas.Row, error) {
		s, err := w.own("CreateCustomization", tenant.CustomizationID{})
		w.ok(err)
		row, _, err := w.c.Catalog(s).Create(ctx, in)
		return row, err
	}
	_, err := create(fas.CreateInput{Description: text(strings.Repeat("x", 33<<10))})
	w.refused("a row that would fill a page", err, fas.ErrConflict)
	want := map[tenant.CustomizationID]bool{}
	const rows = 60
	for i := range rows {
		row, err := create(fas.CreateInput{Name: text(fmt.Sprint(i)), Description: text(strings.Repeat("x", 30<<10))})
		w.ok(err)
		want[row.Customization] = true
	}
	s, err := w.own("ListCustomizations", tenant.CustomizationID{})
	w.ok(err)
	got, err := w.c.Catalog(s).List(ctx)
	w.ok(err)
	for i, r := range got {
		if !want[r.Customization] {
			t.Errorf("row %d is twice in the list, or foreign", i)
		}
		delete(want, r.Customization)
	}
	if len(want) != 0 {
		t.Errorf("%d rows are missing", len(want))
	}
	page, err := frame(w.connect(), fmt.Appendf(nil, `{"op":"catalog.list","session":%q}`, s.ID().String()))
	w.ok(err)
	if n := len(page["rows"].([]any)); page["more"] != true || n == 0 || n >= rows {
		t.Errorf("control: one answer has %d rows, and says %v", n, page["more"])
	}
	up, err := w.own("UpdateCustomization", got[0].Customization)
	w.ok(err)
	_, _, err = w.c.Catalog(up).Update(ctx, got[0].Customization, text(strings.Repeat("x", 33<<10)))
	w.refused("an update that would", err, fas.ErrConflict)
}

func TestManyUnfinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	want := map[tenant.CustomizationID]bool{}
	make := func(n int) {
		for range n {
			row, _ := w.create()
			want[row.Customization] = true
		}
	}
	make(100)
	w.key = w.another("more")
	make(5)
	open, err := w.c.Unfinished(ctx)
	w.ok(err)
	if len(open) != 105 {
		t.Fatalf("%d of 105", len(open))
	}
	for _, u := range open {
		if !want[u.Customization] {
			t.Fatal("twice in the list, or foreign")
		}
		delete(want, u.Customization)
	}
	w.ok(w.c.Abandon(ctx, open[104].Ticket, "test")) // of the second page
	for _, bad := range []string{`{"op":"unfinished","after":"x"}`, `{"op":"catalog.list","session":"` + tenant.NewSessionID().String() + `","after":"x"}`} {
		if out, err := frame(w.connect(), []byte(bad)); err != nil || out["error"] != "denied" {
			t.Errorf("%s: %v, %v", bad, out, err)
		}
	}
}
