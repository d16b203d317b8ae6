package retrieval

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func isIdent(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isWord reports whether a rune is part of an identifier, in any language.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return isIdent(byte(r))
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// stop holds words that say nothing about code.
var stop = map[string]bool{"the": true, "a": true, "an": true, "of": true, "to": true, "in": true, "is": true, "and": true, "or": true,
	"for": true, "if": true, "return": true, "var": true, "func": true, "err": true, "nil": true, "this": true, "that": true, "it": true,
	"be": true, "with": true, "as": true, "on": true, "by": true, "int": true, "string": true, "error": true, "else": true, "true": true, "false": true}

const maxToken = 64

// Tokens calls f for each search term of a text: identifiers in lower case,
// and the parts of those written in camel or snake case. Identifiers of more
// than 64 bytes, terms of a single byte, and words that say nothing about code
// are skipped. Invalid UTF-8 separates.
func Tokens(text string, f func(term string)) {
	for i := 0; i < len(text); {
		j := i
		for j < len(text) && isIdent(text[j]) {
			j++
		}
		if j < len(text) && text[j] >= utf8.RuneSelf {
			j += wordLen(text[j:])
		}
		if j > i && j-i <= maxToken {
			Identifier(text[i:j], f)
		}
		if j == i {
			_, n := utf8.DecodeRuneInString(text[i:])
			j += n
		}
		i = j
	}
}

// wordLen is the length of the identifier that a text begins with.
func wordLen(text string) (n int) {
	for n < len(text) {
		if text[n] < utf8.RuneSelf {
			if !isIdent(text[n]) {
				return n
			}
			n++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[n:])
		if !isWord(r) {
			return n
		}
		n += size
	}
	return n
}

// Identifier calls f for the terms of one identifier.
func Identifier(id string, f func(term string)) {
	whole := strings.ToLower(id)
	term(whole, f)
	from := whole
	if !ascii(id) {
		from = id // in lower case it may have other lengths
	}
	start := 0
	part := func(end int) {
		if p := strings.Trim(from[start:end], "_"); len(p) < len(id) {
			term(strings.ToLower(p), f)
		}
		start = end
	}
	prevUp, prevScore := false, false
	for i, r := range id {
		up, score := isUpper(r), r == '_'
		if i > 0 && (score || prevScore || up && (!prevUp || lowerAt(id, i+utf8.RuneLen(r)))) {
			part(i)
		}
		prevUp, prevScore = up, score
	}
	if start > 0 {
		part(len(id))
	}
}

func term(s string, f func(term string)) {
	if len(s) > 1 && !stop[s] {
		f(s)
	}
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isUpper(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'A' && r <= 'Z'
	}
	return unicode.IsUpper(r)
}

func lowerAt(id string, i int) bool {
	r, _ := utf8.DecodeRuneInString(id[min(i, len(id)):])
	return unicode.IsLower(r)
}
