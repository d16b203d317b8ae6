package pagecode

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the code of the pages anew")

const (
	root   = "../.."
	marker = "<!-- code: "
)

var errPage = errors.New("pagecode")

// rewrite returns the page with every marked block replaced by the code that
// it names. A Go block without a mark is an error.
func rewrite(page string) (string, error) {
	lines := strings.SplitAfter(page, "\n")
	var out strings.Builder
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		switch {
		case line == "```go":
			return "", fmt.Errorf("%w: line %d: a Go block without a line that names its code", errPage, i+1)
		case !strings.HasPrefix(line, marker):
			out.WriteString(lines[i])
			continue
		}
		file, name, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, marker), " -->"), " ")
		if !ok || i+1 >= len(lines) || strings.TrimSpace(lines[i+1]) != "```go" {
			return "", fmt.Errorf("%w: line %d: a mark is followed by its Go block", errPage, i+1)
		}
		code, err := source(filepath.Join(root, filepath.FromSlash(file)), name)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", i+1, err)
		}
		out.WriteString(lines[i] + lines[i+1] + code + "```\n")
		for i += 2; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
		}
		if i >= len(lines) {
			return "", fmt.Errorf("%w: a block without its end", errPage)
		}
	}
	return out.String(), nil
}

// source is the body of a function, one tab to the left, or the declaration of a
// type, or of a method that is called Type.Method.
func source(file, name string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, b, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	at := func(p token.Pos) int { return fset.Position(p).Offset }
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == name && d.Recv == nil {
				return shift(b[at(d.Body.Lbrace)+1 : at(d.Body.Rbrace)]), nil
			}
			if d.Recv != nil && string(b[at(d.Recv.List[0].Type.Pos()):at(d.Recv.List[0].Type.End())])+"."+d.Name.Name == name {
				return string(b[at(d.Pos()):at(d.End())]) + "\n", nil
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if t, ok := s.(*ast.TypeSpec); ok && t.Name.Name == name {
					return string(b[at(d.Pos()):at(d.End())]) + "\n", nil
				}
			}
		}
	}
	return "", fmt.Errorf("%w: %s has no %s", errPage, file, name)
}

func shift(body []byte) string {
	var out strings.Builder
	for line := range bytes.Lines(bytes.Trim(body, "\n")) {
		out.Write(bytes.TrimPrefix(line, []byte("\t")))
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func TestPages(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "doc", "patterns", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		is, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		want, err := rewrite(string(is))
		switch {
		case err != nil:
			t.Errorf("%s: %v", filepath.Base(page), err)
		case want != string(is) && *update:
			if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		case want != string(is):
			t.Errorf("%s: its code is not that of the examples: go test ./internal/pagecode -update", filepath.Base(page))
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const here = "<!-- code: internal/pagecode/pagecode_test.go shift -->\n```go\n"
	good, err := rewrite(here + "old\n```\nafter\n")
	if err != nil || !strings.Contains(good, "\nreturn strings.TrimRight") || !strings.HasSuffix(good, "```\nafter\n") {
		t.Fatalf("the control: %v\n%s", err, good)
	}
	for name, page := range map[string]string{
		"no mark":      "```go\nx := 1\n```\n",
		"no block":     "<!-- code: internal/pagecode/pagecode_test.go shift -->\ntext\n",
		"no such name": strings.Replace(here, " shift", " shaft", 1) + "```\n",
		"no such file": strings.Replace(here, "pagecode_test.go", "none.go", 1) + "```\n",
		"no end":       here + "x\n",
		"no function":  "<!-- code: internal/pagecode/pagecode_test.go -->\n```go\n```\n",
	} {
		if _, err := rewrite(page); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
