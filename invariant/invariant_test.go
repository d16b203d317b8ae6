package invariant_test

import (
	"bytes"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/invariant"
)

var update = flag.Bool("update", false, "write doc/invariants.md anew")

const (
	page     = "../doc/invariants.md"
	examples = "../examples"
	gallery  = examples + "/customization/gallery*.go"
)

// needExamples skips where this module stands without its sibling, as it does
// in a module cache.
func needExamples(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(examples); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the examples are another module, which is not here")
	}
}

// tests maps the test functions of a folder to the strings of their files.
func tests(t *testing.T, dir string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	names, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		words := literals(f)
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && runnable(fn.Name.Name) {
				out[fn.Name.Name] = words
			}
		}
	}
	return out
}

func runnable(name string) bool {
	return name != "TestMain" && (strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz"))
}

func literals(n ast.Node) (out []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := text(n); ok {
			out = append(out, s)
		}
		return true
	})
	return out
}

func text(n ast.Node) (string, bool) {
	l, ok := n.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

var galleryID = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

// entries finds the gallery's entries in its source: a literal or a call that
// begins with an ID and a title of several words.
func entries(f *ast.File) (ids []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		var first []ast.Expr
		switch n := n.(type) {
		case *ast.CompositeLit:
			first = n.Elts
		case *ast.CallExpr:
			first = n.Args
		}
		if len(first) < 3 {
			return true
		}
		id, ok := text(first[0])
		title, titled := text(first[1])
		if ok && titled && galleryID.MatchString(id) && strings.Contains(title, " ") {
			ids = append(ids, id)
		}
		return true
	})
	return ids
}

func galleryIDs(t *testing.T) map[string]int {
	t.Helper()
	names, err := filepath.Glob(gallery)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range entries(f) {
			out[id]++
		}
	}
	return out
}

// lookUp returns what is wrong with a catalogue, given what there is.
func lookUp(rooms []invariant.Room, tests func(dir string) map[string][]string, gallery map[string]int) (wrong []string) {
	say := func(parts ...string) { wrong = append(wrong, strings.Join(parts, " ")) }
	seen, named := map[string]bool{}, map[string]bool{}
	form := regexp.MustCompile(`^[A-Z]{3}-[0-9]{2}$`)
	for _, r := range rooms {
		if len(r.Invariants) == 0 {
			say("room", r.Name, "has no invariant")
		}
		for _, v := range r.Invariants {
			switch {
			case !form.MatchString(v.ID):
				say(v.ID, "is not an ID such as FAS-03")
			case seen[v.ID]:
				say(v.ID, "is there twice")
			case v.ID[:3] != r.Invariants[0].ID[:3]:
				say(v.ID, "stands in room", r.Name)
			case !strings.HasSuffix(v.Statement, ".") || !strings.HasSuffix(v.Why, "."):
				say(v.ID, "needs a statement and a reason, each a sentence")
			case len(v.Tests)+len(v.Gallery) == 0:
				say(v.ID, "is attacked by nothing: name a test or a gallery entry")
			}
			seen[v.ID] = true
			for _, a := range v.Tests {
				words, ok := tests(a.Package)[a.Func]
				switch {
				case !ok:
					say(v.ID, "names", a.String()+", which is not there")
				case !begins(words, a.Case):
					say(v.ID, "names", a.String()+", whose file has no such case")
				}
			}
			for _, id := range v.Gallery {
				named[id] = true
				if gallery[id] == 0 {
					say(v.ID, "names the gallery entry", id+", which is not there")
				}
			}
		}
	}
	for id, n := range gallery {
		if n > 1 {
			say("gallery entry", id, "is there twice")
		}
		if !named[id] {
			say("gallery entry", id, "is named by no invariant: add it to the Gallery of the one that it attacks, in package invariant, and run go test ./invariant -update")
		}
	}
	return wrong
}

func begins(words []string, start string) bool {
	for _, w := range words {
		if strings.HasPrefix(w, start) {
			return true
		}
	}
	return start == ""
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	needExamples(t)
	rooms, ids := invariant.Rooms(), galleryIDs(t)
	if len(ids) < 60 {
		t.Fatalf("%d gallery entries found: the search no longer fits the gallery's source", len(ids))
	}
	cache := map[string]map[string][]string{}
	for _, w := range lookUp(rooms, func(dir string) map[string][]string {
		if cache[dir] == nil {
			cache[dir] = tests(t, dir)
		}
		return cache[dir]
	}, ids) {
		t.Error(w)
	}
	n, names := 0, map[string]bool{}
	for _, r := range rooms {
		n += len(r.Invariants)
		names[r.Name] = true
	}
	for _, r := range []string{"tenant", "audit", "authz", "fas", "kmsctx", "retrieval", "gpuinfer", "sandbox", "workflow", "api"} {
		if !names[r] {
			t.Errorf("room %s has no invariants", r)
		}
	}
	t.Logf("%d invariants, %d gallery entries", n, len(ids))
}

// What TestCatalogue looks for, it finds.
func TestCatalogueFinds(t *testing.T) {
	t.Parallel()
	have := func(string) map[string][]string { return map[string][]string{"TestA": {"one case", "two"}} }
	good := invariant.Invariant{ID: "ABC-01", Statement: "S.", Why: "W.", Tests: []invariant.Test{{Package: "p", Func: "TestA", Case: "one"}}, Gallery: []string{"entry"}}
	for name, c := range map[string]struct {
		change  func(*invariant.Invariant)
		gallery map[string]int
		want    string
	}{
		"nothing":         {func(*invariant.Invariant) {}, nil, ""},
		"bad ID":          {func(v *invariant.Invariant) { v.ID = "x" }, nil, "not an ID"},
		"no statement":    {func(v *invariant.Invariant) { v.Statement = "" }, nil, "each a sentence"},
		"no reason":       {func(v *invariant.Invariant) { v.Why = "" }, nil, "each a sentence"},
		"no attack":       {func(v *invariant.Invariant) { v.Tests, v.Gallery = nil, nil }, map[string]int{}, "attacked by nothing"},
		"no such test":    {func(v *invariant.Invariant) { v.Tests[0].Func = "TestB" }, nil, "which is not there"},
		"no such case":    {func(v *invariant.Invariant) { v.Tests[0].Case = "case" }, nil, "no such case"},
		"no such entry":   {func(v *invariant.Invariant) { v.Gallery = []string{"other"} }, map[string]int{}, "entry other, which is not there"},
		"entry not named": {func(*invariant.Invariant) {}, map[string]int{"entry": 1, "new": 1}, "entry new is named by no invariant"},
		"entry twice":     {func(*invariant.Invariant) {}, map[string]int{"entry": 2}, "is there twice"},
	} {
		v := good
		v.Tests = []invariant.Test{good.Tests[0]}
		c.change(&v)
		if c.gallery == nil {
			c.gallery = map[string]int{"entry": 1}
		}
		got := strings.Join(lookUp([]invariant.Room{{Name: "r", Invariants: []invariant.Invariant{v}}}, have, c.gallery), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	twice := []invariant.Room{{Name: "r", Invariants: []invariant.Invariant{good, good}}, {Name: "empty"}}
	got := strings.Join(lookUp(twice, have, map[string]int{"entry": 1}), "\n")
	if !strings.Contains(got, "ABC-01 is there twice") || !strings.Contains(got, "room empty has no invariant") {
		t.Errorf("got %q", got)
	}
}

func TestGallerySearch(t *testing.T) {
	t.Parallel()
	const src = `package p
var _ = []attack{{"a-b", "two words", "layer", f}, signed("c", "two words", nil), x("A B", "two words", nil), y("d", "word", nil), z("e", "two words")}`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(entries(f), " "); got != "a-b c" {
		t.Errorf("found %q", got)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	needExamples(t)
	var want bytes.Buffer
	if err := invariant.WriteMarkdown(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("doc/%s is not what the catalogue says: go test ./invariant -update", path.Base(page))
	}
	if err := invariant.WriteMarkdown(full{}); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails: %v", err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestRoomsIsACopy(t *testing.T) {
	t.Parallel()
	r := invariant.Rooms()
	want := r[0].Invariants[0].Tests[0]
	r[0].Invariants[0].Statement = ""
	r[0].Invariants[0].Tests[0] = invariant.Test{}
	again := invariant.Rooms()[0].Invariants[0]
	if again.Statement == "" || again.Tests[0] != want {
		t.Error("a caller can change the catalogue")
	}
}
