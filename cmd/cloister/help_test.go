package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// helps are the commands whose help says what the flags of a file are for.
var helps = map[string][]string{
	"main.go":          {"audit verify"},
	"envelopeflags.go": {"seal", "rewrap", "inspect"},
	"inspect.go":       {"inspect"},
	"kms.go":           {"kms", "kms serve"},
	"policy.go":        {"policy check", "policy subset", "policy eval"},
	"profile.go":       {"profile new", "profile sign", "profile show"},
	"profilediff.go":   {"profile diff"},
	"profileverify.go": {"profile verify", "profile show"},
}

// definedFlags are the names of flags that a file defines: calls of the methods
// of a flag set that have a constant name.
func definedFlags(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		on, ok := sel.X.(*ast.Ident)
		if !ok || on.Name != "fs" && on.Name != "f" || len(call.Args) < 3 {
			return true
		}
		at := 0
		if strings.HasSuffix(sel.Sel.Name, "Var") {
			at = 1
		}
		if name, ok := call.Args[at].(*ast.BasicLit); ok && name.Kind == token.STRING {
			s, err := strconv.Unquote(name.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return true
	})
	return out
}

// A script may tell how a command ended, and what the pages have made here is
// not committed.
func TestHelpAndPages(t *testing.T) {
	t.Parallel()
	_, help, _ := try(nil, "help")
	for _, want := range []string{"Exit codes", "0 ", "1 ", "2 ", "130 "} {
		if _, codes, _ := strings.Cut(help, "invariants  "); !strings.Contains(codes, want) {
			t.Errorf("help does not say %q", want)
		}
	}
	ignored := "\n" + string(must(os.ReadFile("../../.gitignore")))
	pages, err := filepath.Glob("../../doc/patterns/*.md")
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, p := range append(pages, "../../README.md") {
		for _, m := range regexp.MustCompile(`(?m)^    .*cloister kms init --root-key (\S+) --principals (\S+)`).FindAllStringSubmatch(string(must(os.ReadFile(p))), -1) {
			for _, file := range m[1:] {
				made++
				if !strings.Contains(ignored, "\n/"+file+"\n") {
					t.Errorf("%s: %s is made in the current directory and not ignored", p, file)
				}
			}
		}
	}
	if made == 0 {
		t.Error("no page makes a file: the test does not find them any more")
	}
}

// Every flag stands in the help of its command.
func TestHelpNamesEveryFlag(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		var help string
		for _, c := range helps[path] {
			code, out, errOut := try(nil, append(strings.Fields(c), "--help")...)
			if code != 0 {
				t.Errorf("%s --help: code %d, %s", c, code, errOut)
			}
			help += out + errOut
		}
		names := definedFlags(t, path)
		if (len(names) > 0) != (helps[path] != nil) {
			t.Errorf("%s defines %q, and its help is that of %q", path, names, helps[path])
		}
		for _, n := range names {
			all++
			if !regexp.MustCompile(`(^|[^a-z-])--?` + regexp.QuoteMeta(n) + `($|[^a-z0-9-])`).MatchString(help) {
				t.Errorf("%s: no help names --%s", path, n)
			}
		}
	}
	if all < 40 {
		t.Errorf("%d flags were looked at: the test does not find them any more", all)
	}
}
