package kmsserver

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The package documentation lists the operations that are served, and names
// among those that are not none that is.
func TestOperationsAreDocumented(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	section := func(from, to string) []string {
		_, s, ok1 := strings.Cut(string(b), from)
		s, _, ok2 := strings.Cut(s, to)
		if !ok1 || !ok2 {
			t.Fatalf("doc.go has nothing between %q and %q", from, to)
		}
		return regexp.MustCompile(`\b[A-Z]\w+`).FindAllString(s, -1)
	}
	if got, want := section("// # Operations", "// # What it refuses"), slices.Sorted(maps.Keys(operations)); !slices.Equal(got, want) {
		t.Errorf("doc.go lists\n%q, and served are\n%q", got, want)
	}
	others := section("other operations, such as", "are answered with")
	if len(others) == 0 {
		t.Error("doc.go names no operation that is not served")
	}
	for _, name := range others {
		if _, ok := operations[name]; ok {
			t.Errorf("doc.go says that %s is not served", name)
		}
	}
}
