package retrieval

import "strings"

func isIdent(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// stop holds words that say nothing about code.
var stop = map[string]bool{"the": true, "a": true, "an": true, "of": true, "to": true, "in": true, "is": true, "and": true, "or": true,
	"for": true, "if": true, "return": true, "var": true, "func": true, "err": true, "nil": true, "this": true, "that": true, "it": true,
	"be": true, "with": true, "as": true, "on": true, "by": true, "int": true, "string": true, "error": true, "else": true, "true": true, "false": true}

const maxToken = 64

// Tokens calls f for each search term of a text: identifiers in lower case,
// and the parts of those written in camel or snake case.
func Tokens(text string, f func(term string)) {
	for i := 0; i < len(text); {
		if !isIdent(text[i]) {
			i++
			continue
		}
		j := i
		for j < len(text) && isIdent(text[j]) {
			j++
		}
		if j-i <= maxToken {
			Identifier(text[i:j], f)
		}
		i = j
	}
}

// Identifier calls f for the terms of one identifier.
func Identifier(id string, f func(term string)) {
	whole := strings.ToLower(id)
	if len(whole) > 1 && !stop[whole] {
		f(whole)
	}
	start := 0
	part := func(end int) {
		if p := strings.Trim(whole[start:end], "_"); len(p) > 1 && p != whole && !stop[p] {
			f(p)
		}
		start = end
	}
	for i := 1; i < len(id); i++ {
		up, prevUp := id[i] >= 'A' && id[i] <= 'Z', id[i-1] >= 'A' && id[i-1] <= 'Z'
		nextLow := i+1 < len(id) && id[i+1] >= 'a' && id[i+1] <= 'z'
		if id[i] == '_' || id[i-1] == '_' || up && !prevUp || up && prevUp && nextLow {
			part(i)
		}
	}
	if start > 0 {
		part(len(id))
	}
}
