package retrieval

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strings"
)

// Document is a source file.
type Document struct {
	Path string `json:"path"`
	Text []byte `json:"text"`
}

// Chunk is a piece of a document that is found as a whole. Lines count from 1.
type Chunk struct {
	StartLine, EndLine int
	Text               string
	Defines            []string // names that the chunk defines
}

// Limits of a document.
const (
	MaxDocument = 10 << 20
	chunkLines  = 60
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

// Split cuts a document into chunks: declarations for Go, runs of lines at
// blank lines for everything else and for Go that does not parse.
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
		start, end := fset.Position(from), fset.Position(decl.End())
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
	for start := 0; start < len(lines); {
		end := min(start+chunkLines, len(lines))
		if end < len(lines) {
			for k := end; k > start+chunkLines/2; k-- {
				if strings.TrimSpace(lines[k-1]) == "" {
					end = k
					break
				}
			}
		}
		body := strings.Join(lines[start:end], "")
		if strings.TrimSpace(body) != "" {
			c := Chunk{StartLine: first + start, EndLine: first + end - 1, Text: body}
			for _, l := range lines[start:end] {
				if n := definition(l); n != "" {
					c.Defines = append(c.Defines, n)
				}
			}
			out = append(out, c)
		}
		start = end
	}
	return out
}

var definers = map[string]bool{"func": true, "def": true, "class": true, "function": true, "type": true, "struct": true,
	"interface": true, "trait": true, "enum": true, "fn": true, "module": true, "sub": true}

// definition finds the name after a defining keyword near the start of a line.
func definition(line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return !isIdent(byte(min(r, 127))) })
	for i, w := range words {
		if i > 3 {
			break
		}
		if definers[w] && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}
