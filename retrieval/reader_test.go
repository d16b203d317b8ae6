//go:build unix

package retrieval_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/retrieval"
)

// driver is one that fails, or says what it was asked; a driver that keeps its
// promises cannot.
type driver struct {
	opened  int
	binding retrieval.Binding
	digest  [32]byte
	key     []byte
	fail    error
	asked   []retrieval.Query
	closed  int
}

func (d *driver) OpenReader(_ context.Context, b retrieval.Binding, digest [32]byte, key []byte) (retrieval.Backend, error) {
	d.opened++
	d.binding, d.digest, d.key = b, digest, bytes.Clone(key)
	return d, d.fail
}

func (d *driver) Search(_ context.Context, q retrieval.Query) ([]retrieval.Match, error) {
	d.asked = append(d.asked, q)
	return []retrieval.Match{{Path: "a.go", Text: "found"}}, d.fail
}

func (d *driver) Close() error { d.closed++; return d.fail }

var errDriver = errors.New("the disk is gone")

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	o := w.owner("package a\n\nfunc A() {}\n")
	closed, short := o.session(), o.must(o.ask(o.dev, "GetRetrievals", 20*time.Millisecond))
	must(t, closed.Close())
	time.Sleep(30 * time.Millisecond)
	d := &driver{}
	for name, c := range map[string]struct {
		s    *fas.Session
		want error
	}{
		"no session":             {nil, fas.ErrClosed},
		"the zero session":       {&fas.Session{}, fas.ErrClosed},
		"a closed session":       {closed, fas.ErrClosed},
		"an expired session":     {short, fas.ErrExpired},
		"a catalog's session":    {o.must(o.ask(o.admin, "CreateCustomization", 0)), retrieval.ErrBinding},
		"a completion's session": {o.must(o.ask(o.dev, "GenerateCompletions", 0)), fas.ErrVerb},
		"an ingestion's session": {o.work, fas.ErrVerb},
	} {
		r, err := retrieval.Open(ctx, c.s, d)
		if refused(t, name, err, c.want); r != nil {
			t.Errorf("%s: a reader all the same", name)
		}
	}
	if d.opened != 0 {
		t.Error("a refused session reached the driver")
	}
	_, err := retrieval.Open(ctx, o.session(), nil)
	refused(t, "no driver", err, retrieval.ErrBinding)
	r, err := retrieval.Open(ctx, o.session(), &driver{fail: errDriver})
	if refused(t, "a driver that fails", err, errDriver); r != nil {
		t.Error("a reader all the same")
	}

	s := o.session()
	_, err = retrieval.Open(ctx, s, d)
	must(t, err)
	b, err := retrieval.BindingOf(s)
	must(t, err, s.WithKey(fas.VerbQuery, func(key []byte) error {
		if !bytes.Equal(key, d.key) || len(key) != 32 {
			t.Error("the driver has another key")
		}
		return nil
	}))
	if d.binding != b || d.digest != s.Manifest() || d.digest == [32]byte{} || b.Customization != o.id {
		t.Errorf("the driver was asked for %v", d.binding)
	}
}

func TestQueryRefuses(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	o := w.owner("package a\n\nfunc A() {}\n")
	d, s := &driver{}, o.session()
	r, err := retrieval.Open(ctx, s, d)
	must(t, err)
	for name, q := range map[string]retrieval.Query{
		"less than none": {Text: "a", K: -1},
		"too many":       {Text: "a", K: 51},
		"too long":       {Text: strings.Repeat("a", 64<<10+1)},
	} {
		res, err := r.Query(ctx, q)
		if refused(t, name, err, retrieval.ErrLimit); len(res.Hits) != 0 {
			t.Errorf("%s: hits all the same", name)
		}
	}
	if len(d.asked) != 0 {
		t.Error("a refused query reached the driver")
	}
	for _, q := range []retrieval.Query{{Text: strings.Repeat("a", 64<<10)}, {Text: "a", K: 50}, {K: 1}} {
		res, err := r.Query(ctx, q)
		if must(t, err); len(res.Hits) != 1 || res.Hits[0].Text != "found" {
			t.Errorf("%+v", res)
		}
	}
	if len(d.asked) != 3 || d.asked[0].K != 10 || d.asked[1].K != 50 {
		t.Errorf("asked %d times, first for %d", len(d.asked), d.asked[0].K)
	}
	d.fail = errDriver
	_, err = r.Query(ctx, retrieval.Query{Text: "a"})
	refused(t, "a driver that fails", err, errDriver)
	refused(t, "a driver that fails to close", r.Close(), errDriver)
	d.fail = nil

	must(t, s.Close())
	_, err = r.Query(ctx, retrieval.Query{Text: "a"})
	refused(t, "a session closed meanwhile", err, fas.ErrClosed)
	short := o.must(o.ask(o.dev, "GetRetrievals", 300*time.Millisecond))
	r, err = retrieval.Open(ctx, short, d)
	must(t, err)
	time.Sleep(310 * time.Millisecond)
	n := len(d.asked)
	_, err = r.Query(ctx, retrieval.Query{Text: "a"})
	if refused(t, "a session expired meanwhile", err, fas.ErrExpired); len(d.asked) != n {
		t.Error("an expired session reached the driver")
	}
}

// Two tenants with real collections: each finds its own, and what both found
// does not become one prompt.
func TestTwoBindings(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	a, b := w.owner("package a\n\n// Sum is a's.\nfunc Sum() {}\n"), w.owner("package b\n\n// Sum is b's.\nfunc Sum() {}\n")
	query := func(o *owner) (retrieval.Hit, *fas.Session) {
		s := o.session()
		r, err := retrieval.Open(ctx, s, w.store)
		must(t, err)
		defer r.Close()
		res, err := r.Query(ctx, retrieval.Query{Text: "Sum"})
		if must(t, err); len(res.Hits) != 1 {
			t.Fatalf("%d hits", len(res.Hits))
		}
		return res.Hits[0], s
	}
	ha, sa := query(a)
	hb, _ := query(b)
	again, _ := query(a)
	if !strings.Contains(ha.Text, "a's") || !strings.Contains(hb.Text, "b's") {
		t.Errorf("%q and %q", ha.Text, hb.Text)
	}
	for name, hits := range map[string][]retrieval.Hit{
		"two tenants":        {ha, hb},
		"the other way":      {hb, ha},
		"one among others":   {ha, again, hb, again},
		"by hand among them": {ha, {Match: ha.Match}},
		"by hand first":      {{Match: ha.Match}, ha},
	} {
		p, err := retrieval.BuildPrompt("x", "y", hits...)
		if refused(t, name, err, retrieval.ErrMixed); len(p.Chunks) != 0 || p.Binding() != (retrieval.Binding{}) {
			t.Errorf("%s: %+v beside the refusal", name, p)
		}
	}
	p, err := retrieval.BuildPrompt("x", "y", ha, again)
	must(t, err)
	want, err := retrieval.BindingOf(sa)
	must(t, err)
	if p.Binding() != want || len(p.Chunks) != 2 || p.Chunks[0] != ha.Text {
		t.Errorf("%+v", p)
	}
}

// A session opens the one file that is its own, whatever lies in its place.
func TestForeignFile(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), context.Background()
	a, b := w.owner("package a\n\nfunc A() {}\n"), w.owner("package b\n\nfunc B() {}\n")
	ba, err1 := retrieval.BindingOf(a.session())
	bb, err2 := retrieval.BindingOf(b.session())
	must(t, err1, err2)
	mine, err := os.ReadFile(w.store.Path(ba))
	must(t, err)
	theirs, err := os.ReadFile(w.store.Path(bb))
	must(t, err, os.WriteFile(w.store.Path(ba), theirs, 0o600))
	r, err := retrieval.Open(ctx, a.session(), w.store)
	if refused(t, "b's file for a", err, retrieval.ErrManifest); r != nil {
		t.Error("a reader all the same")
	}
	must(t, os.WriteFile(w.store.Path(ba), mine, 0o600))
	for _, o := range []*owner{a, b} {
		r, err := retrieval.Open(ctx, o.session(), w.store)
		must(t, err, r.Close())
	}
}
