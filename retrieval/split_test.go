package retrieval_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/retrieval"
)

const (
	maxLines = 60
	maxBytes = 16 << 10
)

// split cuts a document and says what is wrong with the chunks: each is a part
// of the text, where its lines say, within the limits, after the one before;
// and what is in none may be left out.
func split(t testing.TB, d retrieval.Document) []retrieval.Chunk {
	t.Helper()
	text, chunks := string(d.Text), retrieval.Split(d)
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	starts := make([]int, len(lines)+1)
	for i, l := range lines {
		starts[i+1] = starts[i] + len(l)
	}
	covered, at := make([]bool, len(text)), 0
	for i, c := range chunks {
		if c.StartLine < 1 || c.EndLine < c.StartLine || c.EndLine > len(lines) || c.EndLine-c.StartLine >= maxLines || len(c.Text) > maxBytes {
			t.Fatalf("chunk %d: lines %d to %d, %d bytes, of %d lines", i, c.StartLine, c.EndLine, len(c.Text), len(lines))
		}
		from := max(at, starts[c.StartLine-1])
		pos := strings.Index(text[from:], c.Text)
		if pos < 0 || strings.TrimSpace(c.Text) == "" {
			t.Fatalf("chunk %d is not in the text, or blank: %q", i, c.Text)
		}
		pos += from
		end := pos + len(c.Text)
		if pos >= starts[c.StartLine] || end > starts[c.EndLine] || end <= starts[c.EndLine-1] {
			t.Fatalf("chunk %d is not at the lines %d to %d: %q", i, c.StartLine, c.EndLine, c.Text)
		}
		for k := pos; k < end; k++ {
			covered[k] = true
		}
		at = end
	}
	if path := d.Path; !strings.HasSuffix(path, ".go") || !onlyComments(t, d, covered) {
		for k, r := range text {
			if !covered[k] && !unicode.IsSpace(r) {
				t.Fatalf("%q is lost, at byte %d", text[k:min(k+20, len(text))], k)
			}
		}
	}
	if again := retrieval.Split(d); !reflect.DeepEqual(again, chunks) {
		t.Fatal("a second time it is cut otherwise")
	}
	return chunks
}

// onlyComments looks, in Go that parses and declares something, whether every
// word that no chunk holds is of the package clause or of an import.
func onlyComments(t testing.TB, d retrieval.Document, covered []bool) bool {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", d.Text, parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	file := fset.File(f.Pos())
	mayMiss := func(at int) bool { return at < file.Offset(f.Name.End()) }
	declares := false
	for _, decl := range f.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			before, from, to := mayMiss, file.Offset(g.Pos()), file.Offset(g.End())
			mayMiss = func(at int) bool { return before(at) || at >= from && at < to }
			continue
		}
		declares = true
	}
	if !declares {
		return false
	}
	var s scanner.Scanner
	words := fset.AddFile("", fset.Base(), len(d.Text))
	s.Init(words, d.Text, nil, 0)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return true
		}
		if at := words.Offset(pos); tok != token.SEMICOLON && !covered[at] && !mayMiss(at) {
			t.Fatalf("%s %q is lost, at byte %d", tok, lit, at)
		}
	}
}

func doc(path, text string) retrieval.Document {
	return retrieval.Document{Path: path, Text: []byte(text)}
}

func TestSplitKeepsEverything(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("value := compute(other)\n", n) }
	for name, text := range map[string]string{
		"empty":             "",
		"blank":             " \n\t\n\n",
		"one line":          "a",
		"ends with a line":  "a\n",
		"60 lines":          long(60),
		"61 lines":          long(61),
		"blank in between":  long(40) + "\n" + long(30) + "\n\n\n" + long(200),
		"only blank lines":  strings.Repeat("\n", 500) + "a" + strings.Repeat("\n", 500),
		"carriage returns":  strings.ReplaceAll(long(100), "\n", "\r\n"),
		"returns alone":     strings.ReplaceAll(long(100), "\n", "\r"),
		"a huge line":       strings.Repeat("value = compute(other); ", 30000),
		"one huge word":     strings.Repeat("x", 100000),
		"a huge wide word":  strings.Repeat("語", 50000),
		"huge lines":        strings.Repeat(strings.Repeat("word ", 5000)+"\n", 5),
		"huge and short":    long(10) + strings.Repeat("word ", 5000) + "\n" + long(10),
		"a huge blank":      "a" + strings.Repeat(" ", 100000) + "b",
		"NUL":               "a\x00b\n\x00\x00\n" + long(70),
		"not UTF-8":         strings.Repeat("\xff\xfe\x80 a\n", 100),
		"only continuation": strings.Repeat("\x80", 40000),
		"no break":          strings.Repeat("a\u00a0", 30000),
		"deep brackets":     strings.Repeat("(", 200000) + strings.Repeat(")", 200000),
		"deep braces":       strings.Repeat("{\n", 3000) + strings.Repeat("}\n", 3000),
		"byte order mark":   "\ufeffpackage a\n\nfunc A() {}\n",
		"package alone":     "package a\n",
		"imports alone":     "package a\n\nimport (\n\t\"os\"\n)\n",
		"a floating remark": "// Licence.\n\npackage a\n\n// A does.\nfunc A() {}\n\n// Nothing belongs to this.\n\nvar B = 1 // and to this\n",
		"on one line":       "package a; import \"os\"; var A, B = 1, 2; func C() {}; type D struct{}",
		"a long function":   "package a\n\nfunc A() {\n" + long(300) + "}\n\nfunc B() {}\n",
		"a line directive":  "package a\n\n//line /etc/passwd:7000\nfunc A() {\n\treturn\n}\n/*line b.go:1:1*/ func B() {}\n",
		"deep Go":           "package a\n\nvar A = " + strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000) + "\n",
		"too deep Go":       "package a\n\nvar A = " + strings.Repeat("(", 200000) + "1" + strings.Repeat(")", 200000) + "\n",
		"deep blocks":       "package a\n\nfunc A() {\n" + strings.Repeat("{", 3000) + strings.Repeat("}", 3000) + "\n}\n",
		"broken Go":         "package a\n\nfunc A( {\n\treturn\n}\n\nfunc B() {}\n",
		"no package":        "func A() {}\n",
		"cut Go":            "package a\n\nfunc A() {\n\tx := `",
		"other names":       "package a\n\ntype Größe struct{}\n\nfunc (g Größe) 計算() {}\n\nfunc \u212a_x() {}\n",
	} {
		for _, path := range []string{"a.go", "a.py", "a", "", ".go"} {
			t.Run(name+" "+path, func(t *testing.T) { split(t, doc(path, text)) })
		}
	}
}

// What people wrote.
func TestSplitRealCode(t *testing.T) {
	t.Parallel()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skipf("the standard library's source is not here: %v", err)
	}
	var files []string
	for _, dir := range []string{"net/http", "go/parser", "encoding/json", "runtime"} {
		got, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src", dir, "*.*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, got[:min(len(got), 60)]...)
	}
	if len(files) == 0 {
		t.Skip("the standard library's source is not here")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		split(t, retrieval.Document{Path: name, Text: b})
		split(t, retrieval.Document{Path: name + ".txt", Text: b})
	}
}

func TestSplitGo(t *testing.T) {
	t.Parallel()
	got := split(t, doc("a.go", `// Package a is one.
package a

import "os"

// Limit is a number.
const Limit = 3

// Server serves.
type (
	Server struct{ a int }
	Other  interface{}
)

func (s *Server) Start(name string) error {
	func() { os.Exit(1) }()
	return nil
}

var first, second = 1, 2
`))
	want := []struct {
		from, to int
		defines  []string
		begins   string
	}{
		{6, 7, []string{"Limit"}, "// Limit is"},
		{9, 13, []string{"Server", "Other"}, "// Server"},
		{15, 18, []string{"Start"}, "func (s *Server) Start"},
		{20, 20, []string{"first", "second"}, "var first"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d chunks: %+v", len(got), got)
	}
	for i, w := range want {
		c := got[i]
		if c.StartLine != w.from || c.EndLine != w.to || !reflect.DeepEqual(c.Defines, w.defines) || !strings.HasPrefix(c.Text, w.begins) {
			t.Errorf("chunk %d: %+v", i, c)
		}
	}
}

func TestSplitLines(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 100 {
		if fmt.Fprintf(&b, "x%d = %d\n", i, i); i == 49 {
			b.WriteString("\n")
		}
	}
	got := split(t, doc("a.py", b.String()))
	if len(got) != 2 || got[0].EndLine != 51 || got[1].StartLine != 52 || got[1].EndLine != 101 {
		t.Errorf("not cut at the blank line: %d chunks, %+v", len(got), got[0])
	}
	for line, want := range map[string]string{
		"def open_file(name):":              "open_file",
		"    async def größe():":            "größe",
		"export default class Shop {":       "Shop",
		"pub(crate) fn run() {":             "run",
		"type Pair struct {":                "Pair",
		"return function(x)":                "x",
		"a b c d e def late":                "",
		"class":                             "",
		"// a definition is not a defx one": "",
		"":                                  "",
	} {
		got := ""
		for _, c := range split(t, doc("a.x", "-\n"+line)) {
			got += strings.Join(c.Defines, ",")
		}
		if got != want {
			t.Errorf("%q defines %q, not %q", line, got, want)
		}
	}
	// A word is not cut where a line is.
	for _, c := range split(t, doc("a.js", strings.Repeat("longIdentifier=1;", 5000))) {
		if strings.Count(c.Text, "longIdentifier")*len("longIdentifier=1;") < len(c.Text)-2*len("longIdentifier=1;") || !strings.HasPrefix(strings.TrimLeft(c.Text, "=1;"), "longIdentifier") {
			t.Fatalf("a word is cut: %.30q", c.Text)
		}
	}
	for _, c := range split(t, doc("a.js", strings.Repeat("語", 50000))) {
		if !utf8.ValidString(c.Text) {
			t.Fatal("a character is cut")
		}
	}
}

func TestExclude(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":         {"", retrieval.ReasonEmpty},
		"blank":           {" \n\t", retrieval.ReasonEmpty},
		"binary":          {"a\x00b", retrieval.ReasonBinary},
		"late NUL":        {strings.Repeat("a", 8000) + "\x00", ""},
		"last NUL":        {strings.Repeat("a", 7999) + "\x00", retrieval.ReasonBinary},
		"generated":       {"// Code generated by x. DO NOT EDIT.\n", retrieval.ReasonGenerated},
		"said much later": {strings.Repeat("a", 2000) + "DO NOT EDIT", ""},
		"too large":       {strings.Repeat("a", retrieval.MaxDocument+1), retrieval.ReasonTooLarge},
		"as large as may": {strings.Repeat("a", retrieval.MaxDocument), ""},
		"source":          {"package a\n", ""},
	} {
		if got := retrieval.Exclude(doc("a.go", c.text)); got != c.want {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"package a\n\n// A is.\nfunc A() {}\n", "package a\n//line x:9\nvar B = 1; type C int", "def a():\n\n  pass\n", "\r\n\x00\xff",
		"package a\nfunc \u212a_x() {}", strings.Repeat("a\n", 130)} {
		f.Add("a.go", []byte(s))
		f.Add("a.py", []byte(s))
	}
	f.Fuzz(func(t *testing.T, path string, text []byte) {
		for _, c := range split(t, retrieval.Document{Path: path, Text: text}) {
			retrieval.Tokens(c.Text, func(string) {})
			for _, d := range c.Defines {
				retrieval.Identifier(d, func(string) {})
			}
		}
	})
}
