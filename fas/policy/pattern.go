package policy

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// truth is a Kleene truth value. What cannot be decided (a variable without a
// value, a date that is none) stays undecided to the end of a statement, where
// it counts against the caller: an allow does not apply, a deny does.
type truth int8

const (
	no truth = iota
	yes
	undecided
)

func (t truth) not() truth {
	switch t {
	case no:
		return yes
	case yes:
		return no
	}
	return undecided
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

const (
	segLiteral  byte = iota
	segOne           // ? is one character
	segRun           // * is any number of characters, / and : among them
	segVariable      // its value is a literal, whatever it contains
)

type segment struct {
	kind   byte
	text   string // the literal, or the variable's key in lower case
	alt    string // the variable's default
	hasAlt bool
}

type pattern struct {
	segments  []segment
	variables bool
	fold      bool // ASCII case does not count
}

var (
	errOpenVariable  = errors.New("a variable without its closing brace")
	errVariableName  = errors.New("a variable's name is empty or holds a space or one of $ { * ? '")
	errVariableQuote = errors.New("a variable's default must stand in single quotes and end the variable")
)

// compile splits a pattern. Without globs, * and ? stand for themselves.
// ${*}, ${?} and ${$} are always those characters.
func compile(text string, globs bool) (pattern, error) {
	var p pattern
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			p.segments = append(p.segments, segment{kind: segLiteral, text: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '*' && globs:
			flush()
			if n := len(p.segments); n == 0 || p.segments[n-1].kind != segRun {
				p.segments = append(p.segments, segment{kind: segRun})
			}
			i++
		case c == '?' && globs:
			flush()
			p.segments = append(p.segments, segment{kind: segOne})
			i++
		case strings.HasPrefix(text[i:], "${"):
			v, size, err := variable(text[i:])
			if err != nil {
				return pattern{}, err
			}
			if v.kind == segLiteral {
				lit.WriteString(v.text)
			} else {
				flush()
				p.segments = append(p.segments, v)
				p.variables = true
			}
			i += size
		default:
			lit.WriteByte(c)
			i++
		}
	}
	flush()
	return p, nil
}

// variable reads ${name} or ${name, 'default'} at the start of s.
func variable(s string) (v segment, size int, err error) {
	end := strings.IndexAny(s, ",}")
	if end < 0 {
		return v, 0, errOpenVariable
	}
	name := s[2:end]
	if name == "*" || name == "?" || name == "$" {
		if s[end] == ',' {
			return v, 0, errVariableName
		}
		return segment{kind: segLiteral, text: name}, end + 1, nil
	}
	if name == "" || strings.ContainsAny(name, "${*?' ") {
		return v, 0, errVariableName
	}
	v = segment{kind: segVariable, text: strings.ToLower(name)}
	if s[end] == '}' {
		return v, end + 1, nil
	}
	rest := strings.TrimLeft(s[end+1:], " ")
	if !strings.HasPrefix(rest, "'") {
		return v, 0, errVariableQuote
	}
	alt, after, closed := strings.Cut(rest[1:], "'")
	tail := strings.TrimLeft(after, " ")
	if !closed || !strings.HasPrefix(tail, "}") {
		return v, 0, errVariableQuote
	}
	v.alt, v.hasAlt = alt, true
	return v, len(s) - len(tail) + 1, nil
}

// value is a variable's value. A key with several values has none.
func (g *segment) value(r *Request) (string, bool) {
	if v, ok := r.Context[g.text]; ok {
		return v, true
	}
	return g.alt, g.hasAlt
}

// match is undecided when a variable has no value, and some value of it would
// make the pattern match.
func (p *pattern) match(s string, r *Request) truth {
	switch {
	case !p.matches(s, r):
		return no
	case p.lacks(r):
		return undecided
	}
	return yes
}

// lacks reports that some variable has no value.
func (p *pattern) lacks(r *Request) bool {
	if p.variables {
		for i := range p.segments {
			if g := &p.segments[i]; g.kind == segVariable {
				if _, ok := g.value(r); !ok {
					return true
				}
			}
		}
	}
	return false
}

// matches takes a variable without a value for any text. Only the last run ever
// needs to take more: what an earlier one could take, the last one can.
func (p *pattern) matches(s string, r *Request) bool {
	i, j, run, from := 0, 0, -1, 0
	for {
		if i == len(p.segments) {
			if j == len(s) {
				return true
			}
		} else {
			g := &p.segments[i]
			kind, text := g.kind, g.text
			if kind == segVariable {
				var ok bool
				if text, ok = g.value(r); !ok {
					kind = segRun
				}
			}
			switch kind {
			case segRun:
				if i++; i == len(p.segments) {
					return true
				}
				run, from = i, j
				continue
			case segOne:
				if j < len(s) {
					i, j = i+1, j+width(s[j:])
					continue
				}
			default:
				if p.begins(s[j:], text) {
					i, j = i+1, j+len(text)
					continue
				}
			}
		}
		if run < 0 || from == len(s) {
			return false
		}
		from += width(s[from:])
		i, j = run, from
	}
}

func (p *pattern) begins(s, prefix string) bool {
	if !p.fold {
		return strings.HasPrefix(s, prefix)
	}
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(s[i]) != lower(prefix[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func width(s string) int {
	if s[0] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}
