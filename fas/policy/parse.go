package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// The sentinel errors of [Parse].
var (
	// ErrMalformed reports a document that is not exactly one policy in the
	// supported grammar. The error is a [*ParseError].
	ErrMalformed = errors.New("policy: malformed")
	// ErrTooLarge reports more than [MaxSize] characters.
	ErrTooLarge = errors.New("policy: more than 2048 characters")
	// ErrEmpty reports no document, or white space.
	ErrEmpty = errors.New("policy: empty")
)

// MaxSize is the largest document accepted, in characters, white space
// included: the limit of AWS STS for session policies.
const MaxSize = 2048

const version = "2012-10-17"

// Document is a parsed and compiled policy. Only [Parse] makes one that allows
// anything. It is immutable and safe for concurrent use.
type Document struct {
	statements []statement
	size       int // in bytes, to bound the work of Subset
}

type statement struct {
	allow      bool
	actions    list
	resources  list
	conditions []condition
}

// Parse reads a policy strictly; the package comment lists what it refuses. It
// never returns a document together with an error.
func Parse(b []byte) (*Document, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, ErrEmpty
	}
	if len(b) > utf8.UTFMax*MaxSize || utf8.RuneCount(b) > MaxSize {
		return nil, ErrTooLarge
	}
	r := newReader(b)
	for _, c := range string(b) {
		if !printable(c) && c != '\t' && c != '\n' && c != '\r' {
			return nil, r.fail("a character outside U+0020 to U+00FF, or a control character")
		}
	}
	doc := Document{size: len(b)}
	sawVersion := false
	err := r.object(func(key string) error {
		switch key {
		case "Version":
			sawVersion = true
			if v, err := r.text(); err != nil {
				return err
			} else if v != version {
				return r.fail("only %s is understood", version)
			}
			return nil
		case "Id":
			_, err := r.text()
			return err
		case "Statement":
			return r.statements(&doc)
		}
		return r.unknown(key, "Version", "Id", "Statement")
	})
	if err != nil {
		return nil, err
	}
	if _, err := r.d.Token(); !errors.Is(err, io.EOF) {
		return nil, r.fail("data after the document")
	}
	switch {
	case !sawVersion:
		return nil, r.fail("Version is missing; without it AWS reads the grammar of 2008, which has no variables")
	case len(doc.statements) == 0:
		return nil, r.fail("Statement is missing")
	}
	return &doc, nil
}

func (r *reader) statements(doc *Document) error {
	t, err := r.token()
	if err != nil {
		return err
	}
	if t != json.Delim('[') {
		return r.fail("an array is wanted")
	}
	outer := r.keys
	for r.d.More() {
		r.statement, r.keys = len(doc.statements), nil
		s, err := r.readStatement()
		if err != nil {
			return err
		}
		doc.statements = append(doc.statements, s)
	}
	r.statement, r.keys = -1, outer
	if _, err := r.token(); err != nil {
		return err
	}
	if len(doc.statements) == 0 {
		return r.fail("an empty array")
	}
	return nil
}

func (r *reader) readStatement() (s statement, err error) {
	effect := ""
	err = r.object(func(key string) (err error) {
		switch key {
		case "Sid":
			err = r.sid()
		case "Effect":
			if effect, err = r.text(); err == nil && effect != "Allow" && effect != "Deny" {
				err = r.fail("neither Allow nor Deny")
			}
		case "Action", "NotAction":
			err = r.patterns(&s.actions, key, compileAction)
		case "Resource", "NotResource":
			err = r.patterns(&s.resources, key, compileResource)
		case "Condition":
			s.conditions, err = r.conditions()
		case "Principal", "NotPrincipal":
			err = r.fail("a policy of a session names no principal")
		default:
			err = r.unknown(key, "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
		}
		return err
	})
	switch {
	case err != nil:
	case effect == "":
		err = r.fail("Effect is missing")
	case s.actions.patterns == nil:
		err = r.fail("Action is missing")
	case s.resources.patterns == nil:
		err = r.fail("Resource is missing")
	}
	s.allow = effect == "Allow"
	return s, err
}

// sid is read by IAM's rule, so that a policy accepted here is accepted there.
func (r *reader) sid() error {
	s, err := r.text()
	switch {
	case err != nil:
		return err
	case strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 || c == '-' || c == '_' || !actionByte(byte(c)) }):
		return r.fail("a Sid is of letters and digits")
	case r.sids[s]:
		return r.fail("two statements have this Sid")
	}
	r.sids[s] = true
	return nil
}

func (r *reader) patterns(l *list, key string, compile func(string) (pattern, error)) error {
	if l.patterns != nil {
		return r.fail("%s and its negation in one statement", strings.TrimPrefix(key, "Not"))
	}
	l.not = strings.HasPrefix(key, "Not")
	values, err := r.list(kindIP) // no kind of its own: strings that are not empty
	if err != nil {
		return err
	}
	for _, v := range values {
		p, err := compile(v.text)
		if err != nil {
			return r.fail("%v", err)
		}
		l.text, l.patterns = append(l.text, v.text), append(l.patterns, p)
	}
	return nil
}

var (
	errAction     = errors.New(`an action is "*" or service:Name, with * and ? in the name only`)
	errResourceIn = errors.New("within the first five parts of an ARN, * must end its part: otherwise AWS and this package may disagree on what it reaches")
)

func compileAction(text string) (pattern, error) {
	if text != "*" && !validAction(strings.NewReplacer("*", "x", "?", "x").Replace(text)) {
		return pattern{}, errAction
	}
	if service, _, _ := strings.Cut(text, ":"); text != "*" && strings.ContainsAny(service, "*?") {
		return pattern{}, errAction
	}
	p, err := compile(strings.ToLower(text), true)
	p.fold = true
	return p, err
}

func compileResource(text string) (pattern, error) {
	if strings.HasPrefix(text, "arn:") {
		rest := text
		for range arnParts - 1 {
			part, after, found := strings.Cut(rest, ":")
			if !found {
				break
			}
			if strings.Contains(strings.TrimSuffix(part, "*"), "*") && !strings.Contains(part, "${") {
				return pattern{}, errResourceIn
			}
			rest = after
		}
	}
	return compile(text, true)
}

func (r *reader) conditions() (out []condition, err error) {
	err = r.object(func(name string) error {
		c, ok := parseOperator(name)
		if !ok {
			return r.fail("unknown condition operator")
		}
		return r.object(func(key string) error {
			if key == "" {
				return r.fail("an empty condition key")
			}
			c := c
			c.keyText, c.key = key, strings.ToLower(key)
			values, err := r.list(c.kind)
			if err != nil {
				return err
			}
			for _, s := range values {
				v, err := c.compileValue(s.text)
				if err != nil {
					return r.fail("%v", err)
				}
				v.bare = s.bare
				c.values = append(c.values, v)
			}
			out = append(out, c)
			return nil
		})
	})
	return out, err
}
