package profile

import (
	"fmt"
	"strings"
)

// Level names how much of a call its evidence must prove; the levels and their
// names are those of package sigv4.
type Level string

// The levels, each saying more than the one before.
const (
	LevelDigest    Level = "digest"
	LevelCanonical Level = "canonical"
	LevelBody      Level = "body"
)

func (l Level) rank() int {
	switch l {
	case LevelDigest:
		return 1
	case LevelCanonical:
		return 2
	case LevelBody:
		return 3
	}
	return 0
}

// Meets reports whether evidence of level l is enough where min is asked. An
// unknown level is enough for nothing, and nothing is enough for an unknown
// one.
func (l Level) Meets(min Level) bool { return min.rank() > 0 && l.rank() >= min.rank() }

// Source is the part of a signed call that a binding reads.
type Source string

// The sources.
const (
	FromBody   Source = "body"
	FromPath   Source = "path"
	FromQuery  Source = "query"
	FromHeader Source = "header"
)

// Binding says where in the signed call the resource is named.
type Binding struct {
	From Source
	// Name is a JSON pointer with its leading "/" for FromBody, the name in
	// braces of a segment of the operation for FromPath, the key of a query
	// parameter for FromQuery, and a lower-case header name for FromHeader,
	// where the header must be a signed one.
	Name string
}

// ParseBind parses the text form: "/json/pointer", "path:name", "query:name"
// or "header:name". An error wraps [ErrMalformed].
func ParseBind(s string) (Binding, error) {
	if strings.HasPrefix(s, "/") {
		odd := strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c >= '~' || c == '"' || c == '\\' })
		if len(s) > 1 && !strings.HasSuffix(s, "/") && !strings.Contains(s, "//") && !odd {
			return Binding{FromBody, s}, nil
		}
		return Binding{}, fmt.Errorf("%w: bind: a JSON pointer of plain keys is meant", ErrMalformed)
	}
	from, name, _ := strings.Cut(s, ":")
	b := Binding{Source(from), name}
	ok := name != ""
	for _, c := range []byte(name) {
		word := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
		ok = ok && (word || b.From == FromQuery && (c == '.' || c >= 'A' && c <= 'Z'))
	}
	if !ok || b.From != FromPath && b.From != FromQuery && b.From != FromHeader {
		return Binding{}, fmt.Errorf("%w: bind: \"/json/pointer\", \"path:name\", \"query:name\" or \"header:name\" is meant", ErrMalformed)
	}
	return b, nil
}

// String returns the text form.
func (b Binding) String() string {
	if b.From == FromBody {
		return b.Name
	}
	return string(b.From) + ":" + b.Name
}

// NeedsLevel returns the least level of evidence that proves what the binding
// reads.
func (b Binding) NeedsLevel() Level {
	if b.From == FromBody {
		return LevelBody
	}
	return LevelCanonical
}

// MatchOperation reports whether a signed path, in its escaped form and
// without a query, is of an operation, and returns what stands for the
// operation's segments in braces: "/buckets/{bucket}" matches "/buckets/acme"
// with bucket = "acme". A segment in braces stands for one segment of
// unreserved characters (RFC 3986), never for an empty one, "." or "..".
func MatchOperation(operation, path string) (map[string]string, bool) {
	ops, segs := strings.Split(operation, "/"), strings.Split(path, "/")
	if len(ops) != len(segs) {
		return nil, false
	}
	var vars map[string]string
	for i, op := range ops {
		name, braces := segmentName(op)
		switch {
		case !braces && op != segs[i], braces && !plainSegment(segs[i]):
			return nil, false
		case braces:
			if vars == nil {
				vars = map[string]string{}
			}
			vars[name] = segs[i]
		}
	}
	return vars, true
}

func segmentName(s string) (string, bool) {
	if len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' {
		return s[1 : len(s)-1], true
	}
	return "", false
}

func plainSegment(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~", rune(c)) {
			return false
		}
	}
	return true
}

// checkOperation accepts "/Name" and paths of plain and braced segments.
func checkOperation(op string) error {
	rest, ok := strings.CutPrefix(op, "/")
	seen := map[string]bool{}
	for _, s := range strings.Split(rest, "/") {
		name, braces := segmentName(s)
		if braces {
			b, err := ParseBind("path:" + name)
			ok = ok && err == nil && !seen[b.Name]
			seen[b.Name] = true
			continue
		}
		ok = ok && plainSegment(s)
	}
	if !ok {
		return fmt.Errorf("%w: operation %q is not a path", ErrMalformed, op)
	}
	return nil
}
