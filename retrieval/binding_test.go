package retrieval_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/kmsctx"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/tenant"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, name string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, not %v", name, err, want)
	}
}

func binding() retrieval.Binding {
	return retrieval.Binding{Tenant: tenant.NewID(), Customization: tenant.NewCustomizationID(), Collection: tenant.NewCollectionID(), Snapshot: tenant.NewSnapshotID()}
}

// partly lists a binding without, and with another of, each of its IDs.
func partly(b retrieval.Binding) (without, other map[string]retrieval.Binding) {
	without, other = map[string]retrieval.Binding{"all": {}}, map[string]retrieval.Binding{}
	for name, change := range map[string]func(b, from *retrieval.Binding){
		"tenant":        func(b, from *retrieval.Binding) { b.Tenant = from.Tenant },
		"customization": func(b, from *retrieval.Binding) { b.Customization = from.Customization },
		"collection":    func(b, from *retrieval.Binding) { b.Collection = from.Collection },
		"snapshot":      func(b, from *retrieval.Binding) { b.Snapshot = from.Snapshot },
	} {
		w, o, fresh := b, b, binding()
		change(&w, &retrieval.Binding{})
		change(&o, &fresh)
		without[name], other[name] = w, o
	}
	return without, other
}

func TestBindingIsWhole(t *testing.T) {
	t.Parallel()
	b := binding()
	without, _ := partly(b)
	for name, w := range without {
		refused(t, "without "+name, w.Err(), retrieval.ErrBinding)
		_, err := w.Context("purpose")
		refused(t, "a context without "+name, err, retrieval.ErrBinding)
		if text, err := json.Marshal(w); err == nil {
			t.Errorf("without %s it is written: %s", name, text)
		}
	}
	must(t, b.Err())
}

func TestBindingContext(t *testing.T) {
	t.Parallel()
	b := binding()
	mine, err := b.Context("pages")
	must(t, err)
	again, err := b.Context("pages")
	must(t, err)
	if !mine.Equal(again) || len(mine.Pairs()) != 5 {
		t.Errorf("%v and %v", mine.Pairs(), again.Pairs())
	}
	_, other := partly(b)
	for name, o := range other {
		c, err := o.Context("pages")
		if must(t, err); mine.Equal(c) {
			t.Errorf("another %s has the same context", name)
		}
	}
	c, err := b.Context("manifest")
	if must(t, err); mine.Equal(c) {
		t.Error("another purpose has the same context")
	}
	for _, purpose := range []string{"", "two words", "zwö", "\x00", strings.Repeat("x", 300)} {
		_, err := b.Context(purpose)
		refused(t, fmt.Sprintf("purpose %q", purpose), err, kmsctx.ErrContext)
	}
}

func TestBindingRoundTrip(t *testing.T) {
	t.Parallel()
	b := binding()
	text, err := json.Marshal(b)
	must(t, err)
	var got retrieval.Binding
	if must(t, json.Unmarshal(text, &got)); got != b {
		t.Errorf("%v became %v", b, got)
	}
	for name, bad := range map[string]string{
		"IDs of other kinds": strings.Replace(string(text), b.Tenant.String(), b.Customization.String(), 1),
		"in capitals":        strings.Replace(string(text), b.Snapshot.String(), strings.ToUpper(b.Snapshot.String()), 1),
		"a path":             strings.Replace(string(text), b.Collection.String(), "../x", 1),
		"an empty ID":        strings.Replace(string(text), b.Tenant.String(), "", 1),
		"a number":           strings.Replace(string(text), `"`+b.Tenant.String()+`"`, "1", 1),
	} {
		var got retrieval.Binding
		if bad == string(text) {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestHandMadeHit(t *testing.T) {
	t.Parallel()
	p, err := retrieval.BuildPrompt("a", "b", retrieval.Hit{Match: retrieval.Match{Path: "x", Text: "secret"}})
	if refused(t, "a hit made by hand", err, retrieval.ErrMixed); p.Prefix != "" || len(p.Chunks) != 0 {
		t.Errorf("%+v beside the refusal", p)
	}
	p, err = retrieval.BuildPrompt("a", "b")
	if must(t, err); p.Prefix != "a" || p.Suffix != "b" || p.Binding() != (retrieval.Binding{}) {
		t.Errorf("%+v", p)
	}
}

func Example() {
	_, err := retrieval.BuildPrompt("func main() {", "}", retrieval.Hit{Match: retrieval.Match{Text: "made by hand"}})
	fmt.Println(errors.Is(err, retrieval.ErrMixed))
	var made *fas.Session // nobody but the firewall makes one that is open
	_, err = retrieval.BindingOf(made)
	fmt.Println(errors.Is(err, fas.ErrClosed))
	_, err = retrieval.Open(context.Background(), made, nil)
	fmt.Println(errors.Is(err, retrieval.ErrBinding))
	source := retrieval.Document{Path: "sum.go", Text: []byte("package x\n\n// Sum adds.\nfunc Sum(a, b int) int { return a + b }\n")}
	for _, c := range retrieval.Split(source) {
		fmt.Println(c.StartLine, c.EndLine, c.Defines)
	}
	// Output:
	// true
	// true
	// true
	// 3 4 [Sum]
}
