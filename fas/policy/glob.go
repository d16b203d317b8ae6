package policy

import (
	"fmt"
	"strings"
)

// symbol is one element of a compiled pattern: a literal byte, any one
// character, any run of characters, or a variable.
type symbol struct {
	kind byte // 'l', '?', '*', 'v'
	lit  byte
	name string
}

// compile splits a pattern into symbols. ${*}, ${?} and ${$} are literals;
// any other ${…} is a variable.
func compile(p string) ([]symbol, error) {
	var out []symbol
	for i := 0; i < len(p); i++ {
		switch {
		case p[i] == '*':
			if n := len(out); n == 0 || out[n-1].kind != '*' {
				out = append(out, symbol{kind: '*'})
			}
		case p[i] == '?':
			out = append(out, symbol{kind: '?'})
		case strings.HasPrefix(p[i:], "${"):
			end := strings.IndexByte(p[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("%w: a variable without its brace", ErrMalformed)
			}
			name := p[i+2 : i+end]
			switch name {
			case "*", "?", "$":
				out = append(out, symbol{kind: 'l', lit: name[0]})
			case "":
				return nil, fmt.Errorf("%w: an empty variable", ErrMalformed)
			default:
				out = append(out, symbol{kind: 'v', name: strings.ToLower(name)})
			}
			i += end
		default:
			out = append(out, symbol{kind: 'l', lit: p[i]})
		}
	}
	return out, nil
}

// expand replaces variables by their values, as literals. The second result is
// false when one is missing.
func expand(p []symbol, vars map[string]string) ([]symbol, bool) {
	has := false
	for _, s := range p {
		has = has || s.kind == 'v'
	}
	if !has {
		return p, true
	}
	var out []symbol
	for _, s := range p {
		if s.kind != 'v' {
			out = append(out, s)
			continue
		}
		v, ok := vars[s.name]
		if !ok {
			return nil, false
		}
		for i := range len(v) {
			out = append(out, symbol{kind: 'l', lit: v[i]})
		}
	}
	return out, true
}

// match is linear in the pattern for each star: the last star is the only one
// that ever needs to take more.
func match(p []symbol, s string) bool {
	i, j, star, from := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i].kind == '*':
			star, from = i, j
			i++
		case i < len(p) && (p[i].kind == '?' || p[i].kind == 'l' && p[i].lit == s[j]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i].kind == '*' {
		i++
	}
	return i == len(p)
}

// included reports whether every string that narrow matches is matched by
// wide. It walks the two patterns as automata: wide's states are a set, and a
// position of narrow that can be reached while wide is stuck is a witness.
func included(narrow, wide []symbol) bool {
	type state struct {
		i   int
		set string
	}
	closure := func(set map[int]bool) {
		for i := 0; i < len(wide); i++ {
			if set[i] && wide[i].kind == '*' {
				set[i+1] = true
			}
		}
	}
	key := func(set map[int]bool) string {
		b := make([]byte, len(wide)+1)
		for i := range b {
			if set[i] {
				b[i] = 1
			}
		}
		return string(b)
	}
	// Any byte that neither pattern names behaves like any other such byte.
	letters := map[byte]bool{}
	for _, p := range [][]symbol{narrow, wide} {
		for _, s := range p {
			if s.kind == 'l' {
				letters[s.lit] = true
			}
		}
	}
	other, hasOther := byte(0), false
	for c := 255; c >= 1; c-- {
		if !letters[byte(c)] {
			other, hasOther = byte(c), true
			break
		}
	}
	if hasOther {
		letters[other] = true
	}
	start := map[int]bool{0: true}
	closure(start)
	seen := map[state]bool{}
	var walk func(i int, set map[int]bool) bool
	walk = func(i int, set map[int]bool) bool {
		st := state{i, key(set)}
		if seen[st] {
			return true
		}
		seen[st] = true
		if i == len(narrow) {
			return set[len(wide)]
		}
		step := func(c byte, to int) bool {
			next := map[int]bool{}
			for k := range set {
				if k == len(wide) {
					continue
				}
				switch w := wide[k]; {
				case w.kind == '*':
					next[k] = true
				case w.kind == '?' || w.kind == 'l' && w.lit == c:
					next[k+1] = true
				}
			}
			closure(next)
			return walk(to, next)
		}
		switch n := narrow[i]; n.kind {
		case 'l':
			return step(n.lit, i+1)
		case '?':
			for c := range letters {
				if !step(c, i+1) {
					return false
				}
			}
			return true
		case '*':
			if !walk(i+1, set) {
				return false
			}
			for c := range letters {
				if !step(c, i) {
					return false
				}
			}
			return true
		}
		return false
	}
	return walk(0, start)
}
