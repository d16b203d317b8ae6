package sabotage_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloisterdev/cloister/internal/sabotage"
)

var module = map[string]string{
	"go.mod": "module example.org/m\n\ngo 1.24\n",
	"p/p.go": "package p\n\nfunc Allowed(n int) bool {\n\treturn n < 3\n}\n\nfunc Unused() int { return 4 }\n",
	"p/p_test.go": `package p

import (
	"os"
	"testing"
)

func TestRows(t *testing.T) {
	t.Run("refuses", func(t *testing.T) {
		if Allowed(3) {
			t.Error("allowed")
		}
	})
	t.Run("exits", func(t *testing.T) {
		if Allowed(3) {
			os.Exit(2)
		}
	})
	t.Run("sees-nothing", func(t *testing.T) {})
	t.Run("skips", func(t *testing.T) { t.Skip() })
}
`,
}

func TestCaught(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range module {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	off := sabotage.Patch{File: "p/p.go", Old: "n < 3", New: "n < 4"}
	for _, c := range []struct {
		name, test string
		patch      sabotage.Patch
		want       error
	}{
		{"a test that sees it", "TestRows/refuses", off, nil},
		{"a test that ends its process", "TestRows/exits", off, nil},
		{"a test that sees nothing", "TestRows/sees-nothing", off, sabotage.ErrSurvived},
		{"a test of another control", "TestRows/refuses", sabotage.Patch{File: "p/p.go", Old: "return 4", New: "return 5"}, sabotage.ErrSurvived},
		{"a test that is skipped", "TestRows/skips", off, sabotage.ErrNoTest},
		{"no test", "TestRows/refuse", off, sabotage.ErrNoTest},
		{"a patch that is none", "TestRows/refuses", sabotage.Patch{File: "p/p.go", Old: "n < 3", New: "n < 3"}, sabotage.ErrText},
		{"text that is not there", "TestRows/refuses", sabotage.Patch{File: "p/p.go", Old: "n < 2", New: "n < 4"}, sabotage.ErrText},
		{"text that is there twice", "TestRows/refuses", sabotage.Patch{File: "p/p.go", Old: "return", New: "return 1 +"}, sabotage.ErrText},
		{"no file", "TestRows/refuses", sabotage.Patch{File: "p/q.go", Old: "x", New: "y"}, sabotage.ErrText},
		{"what does not compile", "TestRows/refuses", sabotage.Patch{File: "p/p.go", Old: "n < 3", New: "m < 4"}, sabotage.ErrBuild},
	} {
		if err := sabotage.Caught(context.Background(), root, "./p", c.test, c.patch); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if src, err := os.ReadFile(filepath.Join(root, "p/p.go")); err != nil || string(src) != module["p/p.go"] {
		t.Error("a file of the module was changed")
	}
}
