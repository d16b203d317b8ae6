package retrieval

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strings"
	"unicode/utf8"
)

// Document is a source file.
type Document struct {
	Path string `json:"path"`
	Text []byte `json:"text"`
}

// Chunk is a piece of a document that is found as a whole. Lines count from 1;
// EndLine is the line of its last byte. Text is a part of the document, byte for
// byte.
type Chunk struct {
	StartLine, EndLine int
	Text               string
	Defines            []string // names that the chunk defines
}

// Limits of a document.
const (
	MaxDocument = 10 << 20
	chunkLines  = 60
	chunkBytes  = 16 << 10
)

// Why a document is left out. The empty reason takes it in.
const (
	ReasonEmpty     = "empty"
	ReasonTooLarge  = "too-large"
	ReasonBinary    = "binary"
	ReasonGenerated = "generated"
)

// Exclude returns why a document is not indexed, or "".
func Exclude(d Document) string {
	switch {
	case len(bytes.TrimSpace(d.Text)) == 0:
		return ReasonEmpty
	case len(d.Text) > MaxDocument:
		return ReasonTooLarge
	case bytes.IndexByte(d.Text[:min(len(d.Text), 8000)], 0) >= 0:
		return ReasonBinary
	case bytes.Contains(d.Text[:min(len(d.Text), 2000)], []byte("DO NOT EDIT")):
		return ReasonGenerated
	}
	return ""
}

// Split cuts a document into chunks of at most 60 lines and 16 KiB, in order
// and without overlap: declarations with their comments for Go, runs of lines
// at blank lines for everything else and for Go that does not parse. A longer
// line is cut between words. What has only white space is left out, and of Go
// the package clause, imports, and comments that belong to no declaration.
func Split(d Document) []Chunk {
	if path.Ext(d.Path) == ".go" {
		if cs := splitGo(d); cs != nil {
			return cs
		}
	}
	return splitLines(string(d.Text), 1)
}

func splitGo(d Document) []Chunk {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, d.Path, d.Text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	text := string(d.Text)
	var out []Chunk
	for _, decl := range f.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			continue
		}
		from := decl.Pos()
		if doc := docOf(decl); doc != nil {
			from = doc.Pos()
		}
		// Where the text is, whatever a line directive in it says.
		start, end := fset.PositionFor(from, false), fset.PositionFor(decl.End(), false)
		names := defined(decl)
		for i, c := range splitLines(text[start.Offset:end.Offset], start.Line) {
			if i == 0 {
				c.Defines = names
			}
			out = append(out, c)
		}
	}
	return out
}

func docOf(d ast.Decl) *ast.CommentGroup {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Doc
	case *ast.GenDecl:
		return d.Doc
	}
	return nil
}

func defined(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		names = append(names, d.Name.Name)
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

// splitLines cuts text into chunks of at most chunkLines lines, preferably at
// a blank line, and finds what they define by the usual keywords.
func splitLines(text string, first int) (out []Chunk) {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for start := 0; start < len(lines); {
		end, size := start, 0
		for end < len(lines) && end < start+chunkLines && (end == start || size+len(lines[end]) <= chunkBytes) {
			size += len(lines[end])
			end++
		}
		if end < len(lines) {
			for k := end; k > start+(end-start)/2; k-- {
				if strings.TrimSpace(lines[k-1]) == "" {
					end = k
					break
				}
			}
		}
		out = appendChunks(out, lines[start:end], first+start)
		start = end
	}
	return out
}

// appendChunks makes a chunk of lines, or several of one that is too long.
func appendChunks(out []Chunk, lines []string, first int) []Chunk {
	body, last := strings.Join(lines, ""), first+len(lines)-1
	var names []string
	for _, l := range lines {
		if n := definition(l); n != "" {
			names = append(names, n)
		}
	}
	for body != "" {
		n := wordEnd(body, chunkBytes)
		if strings.TrimSpace(body[:n]) != "" {
			out = append(out, Chunk{StartLine: first, EndLine: last, Text: body[:n], Defines: names})
			names = nil
		}
		body = body[n:]
	}
	return out
}

// wordEnd is where to cut a text to at most n bytes: after the last word that
// ends before, or inside a word that does not end.
func wordEnd(text string, n int) int {
	if len(text) <= n {
		return len(text)
	}
	for i := n; i > n/2; i-- {
		r, _ := utf8.DecodeLastRuneInString(text[:i])
		if next, _ := utf8.DecodeRuneInString(text[i:]); utf8.RuneStart(text[i]) && !(isWord(r) && isWord(next)) {
			return i
		}
	}
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			return i
		}
	}
	return n
}

var definers = map[string]bool{"func": true, "def": true, "class": true, "function": true, "type": true, "struct": true,
	"interface": true, "trait": true, "enum": true, "fn": true, "module": true, "sub": true}

// definition finds the name after a defining keyword near the start of a line.
func definition(line string) string {
	defines, n := false, 0
	for w := range strings.FieldsFuncSeq(line, func(r rune) bool { return !isWord(r) }) {
		if defines {
			return w
		}
		if defines = definers[w]; n > 3 {
			break
		}
		n++
	}
	return ""
}
