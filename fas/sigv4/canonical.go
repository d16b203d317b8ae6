package sigv4

import (
	"bytes"
	"slices"
	"strings"
)

const upperHex = "0123456789ABCDEF"

const (
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	letters  = "abcdefghijklmnopqrstuvwxyz"
	digits   = "0123456789"
)

func table(members string) (t [256]bool) {
	for _, c := range []byte(members) {
		t[c] = true
	}
	return t
}

var (
	// unreserved are the bytes that stand for themselves (RFC 3986 §2.3).
	unreserved = table(capitals + letters + digits + "-._~")
	// inName are the bytes of a lower-case token (RFC 9110 §5.6.2).
	inName   = table(letters + digits + "!#$%&'*+-.^_`|~")
	inToken  = table(capitals + letters + digits + "-_")
	inMethod = table(capitals + letters + digits + "!#$%&'*+-.^_`|~")
	inSpace  = table(" \t\r\n")
)

func all(s string, of *[256]bool) bool {
	for i := range len(s) {
		if !of[s[i]] {
			return false
		}
	}
	return true
}

func appendEscaped(dst []byte, c byte, slash bool) []byte {
	if unreserved[c] || slash && c == '/' {
		return append(dst, c)
	}
	return append(dst, '%', upperHex[c>>4], upperHex[c&15])
}

func escapeAll(dst []byte, s string, slash bool) []byte {
	for i := range len(s) {
		dst = appendEscaped(dst, s[i], slash)
	}
	return dst
}

// unescapeAt returns the byte that begins at i and how long its form is; zero
// is a broken escape.
func unescapeAt(s string, i int) (c byte, n int) {
	if s[i] != '%' {
		return s[i], 1
	}
	if i+2 >= len(s) {
		return 0, 0
	}
	hi, lo := unhex(s[i+1]), unhex(s[i+2])
	if hi > 15 || lo > 15 {
		return 0, 0
	}
	return hi<<4 | lo, 3
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// reescape writes text from the wire in the one form that is signed.
func reescape(dst []byte, s string, slash bool) ([]byte, bool) {
	for i := 0; i < len(s); {
		c, n := unescapeAt(s, i)
		if n == 0 {
			return dst, false
		}
		dst = appendEscaped(dst, c, slash)
		i += n
	}
	return dst, true
}

// escaped reports whether s is what [reescape] and [escapeAll] write.
func escaped(s string, slash bool) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if unreserved[c] || slash && c == '/' {
			continue
		}
		c, n := unescapeAt(s, i)
		if n != 3 || unreserved[c] || slash && c == '/' || s[i+1] >= 'a' || s[i+2] >= 'a' {
			return false
		}
		i += 2
	}
	return true
}

// canonicalQuery reports whether q is what appendQuery writes.
func canonicalQuery(q string) bool {
	name, value := "", ""
	for more := q != ""; more; {
		var p string
		p, q, more = strings.Cut(q, "&")
		k, v, ok := strings.Cut(p, "=")
		if !ok || k < name || k == name && v < value || !escaped(k, false) || !escaped(v, false) {
			return false
		}
		name, value = k, v
	}
	return true
}

// escapes reports whether escaped, in canonical form, stands for plain.
func escapes(escaped, plain string) bool {
	for i := range len(plain) {
		if escaped == "" {
			return false
		}
		c, n := unescapeAt(escaped, 0)
		if n == 0 || c != plain[i] {
			return false
		}
		escaped = escaped[n:]
	}
	return escaped == ""
}

// appendPath escapes the path as it stood on the wire. Outside S3 clients
// disagree on what an empty or dotted segment means, and so might a router, so
// such paths are refused.
func appendPath(dst []byte, raw string, s3 bool) ([]byte, error) {
	if raw == "" || raw[0] != '/' {
		return dst, refuse("request target", ErrMalformed)
	}
	if s3 {
		dst, ok := reescape(dst, raw, true)
		if !ok {
			return dst, refuse("path", ErrMalformed)
		}
		return dst, nil
	}
	if err := plainPath(raw); err != nil {
		return dst, err
	}
	return escapeAll(dst, raw, true), nil
}

// plainPath refuses a path that, with its escapes undone, has an empty segment
// before its end, or one of dots, or a byte that some systems take for a
// separator or an end.
func plainPath(raw string) error {
	length, dots := 0, 0
	for i := 1; i < len(raw); {
		c, n := unescapeAt(raw, i)
		if n == 0 {
			return refuse("path", ErrMalformed)
		}
		i += n
		switch c {
		case '\\', 0:
			return refuse("path", ErrAmbiguousPath)
		case '/':
			if length == 0 || length == dots && dots <= 2 {
				return refuse("path", ErrAmbiguousPath)
			}
			length, dots = 0, 0
			continue
		case '.':
			dots++
		}
		length++
	}
	if length > 0 && length == dots && dots <= 2 {
		return refuse("path", ErrAmbiguousPath)
	}
	return nil
}

// pair is one parameter of the query, as positions in the scratch buffer.
type pair struct{ start, mid, end int }

// reserved are the parameters with which a request can be signed in its query.
var reserved = []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
	"X-Amz-Security-Token", "X-Amz-Region-Set", "X-Amz-Content-Sha256"}

const amz = "x-amz-"

// isAmz reports whether a name of a header or parameter begins with X-Amz-,
// in whatever case.
func isAmz(name string) bool { return len(name) > len(amz) && strings.EqualFold(name[:len(amz)], amz) }

// appendQuery writes the parameters sorted by their escaped names, then by
// their escaped values, without those that drop names.
func (s *scratch) appendQuery(dst []byte, raw string, drop ...string) ([]byte, error) {
	if raw == "" {
		return dst, nil
	}
	s.query, s.pairs = s.query[:0], s.pairs[:0]
	sorted := true
	for len(raw) > 0 {
		var p string
		p, raw, _ = strings.Cut(raw, "&")
		if p == "" {
			continue
		}
		// To some readers + is a space and ; separates: whoever is on the way
		// could exchange it for its escaped form, and the signature would hold.
		if strings.ContainsAny(p, "+;") {
			return dst, refuse("query", ErrAmbiguousQuery)
		}
		k, v, _ := strings.Cut(p, "=")
		at := pair{start: len(s.query)}
		var ok1, ok2 bool
		s.query, ok1 = reescape(s.query, k, false)
		at.mid = len(s.query)
		s.query, ok2 = reescape(s.query, v, false)
		at.end = len(s.query)
		if !ok1 || !ok2 {
			return dst, refuse("query", ErrMalformed)
		}
		if len(drop) > 0 && slices.Contains(drop, string(s.query[at.start:at.mid])) {
			continue
		}
		sorted = sorted && (len(s.pairs) == 0 || s.compare(s.pairs[len(s.pairs)-1], at) <= 0)
		s.pairs = append(s.pairs, at)
	}
	if !sorted {
		slices.SortFunc(s.pairs, s.compare)
	}
	for i, p := range s.pairs {
		k := s.query[p.start:p.mid]
		if i > 0 {
			dst = append(dst, '&')
			before := s.pairs[i-1]
			if len(k) > len(amz) && bytes.EqualFold(k[:len(amz)], []byte(amz)) && bytes.Equal(k, s.query[before.start:before.mid]) {
				return dst, refuse("query", ErrDuplicated)
			}
		}
		dst = append(append(append(dst, k...), '='), s.query[p.mid:p.end]...)
	}
	return dst, nil
}

func (s *scratch) compare(a, b pair) int {
	if c := bytes.Compare(s.query[a.start:a.mid], s.query[b.start:b.mid]); c != 0 {
		return c
	}
	return bytes.Compare(s.query[a.mid:a.end], s.query[b.mid:b.end])
}

// parameters walks over a query in canonical form, names still escaped.
func parameters(query string, f func(k, v string) error) error {
	for len(query) > 0 {
		var p string
		p, query, _ = strings.Cut(query, "&")
		k, v, _ := strings.Cut(p, "=")
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

// appendFolded trims a value and folds inner runs of white space, as signers
// do.
func appendFolded(dst []byte, v string) []byte {
	start, from := len(dst), 0
	for i := 0; i <= len(v); i++ {
		if i < len(v) && !inSpace[v[i]] {
			continue
		}
		if i > from {
			if len(dst) > start {
				dst = append(dst, ' ')
			}
			dst = append(dst, v[from:i]...)
		}
		from = i + 1
	}
	return dst
}

// names walks over a list of signed headers and refuses one that is not in its
// only form.
func names(list string, f func(name string) error) error {
	before := ""
	for rest, more := list, true; more; {
		var n string
		n, rest, more = strings.Cut(rest, ";")
		if n <= before || !headerName(n) {
			return refuse("SignedHeaders", ErrUnsorted)
		}
		before = n
		if err := f(n); err != nil {
			return err
		}
	}
	return nil
}

// headerName reports whether s is a lower-case token of RFC 9110.
func headerName(s string) bool { return s != "" && all(s, &inName) }

// token reports whether s is made of letters, digits, - and _ and those of
// more.
func token(s string, limit int, more string) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if !inToken[s[i]] && strings.IndexByte(more, s[i]) < 0 {
			return false
		}
	}
	return true
}
