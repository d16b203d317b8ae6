package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Request is one access to decide.
type Request struct {
	// Action is "service:Name"; case does not count.
	Action string
	// Resource is an ARN, or "*" for an action without one. It is not empty and
	// has at most [MaxResource] bytes.
	Resource string
	// Context holds condition keys with one value, and policy variables. Its
	// keys are in lower case. See [MaxContext].
	Context map[string]string
	// Multi holds condition keys with several values, which only ForAllValues
	// and ForAnyValue read. Its keys are in lower case and not in Context. An
	// empty list is the same as no key.
	Multi map[string][]string
}

// MaxResource is the longest resource that is decided, in bytes. Patterns are
// matched in time that grows with it.
const MaxResource = 4096

// MaxContext is how much the values of a request's context may hold together,
// in bytes, where each value counts for 16 more. They are matched in time that
// grows with it too, and are often a caller's.
const MaxContext = 32 << 10

// ErrRequest reports a request that no policy can decide: an action that is not
// "service:Name", an empty or too long resource, too long a context, a resource
// or value that is not UTF-8, a context key that is not in lower case or in both
// maps. [Document.Evaluate] answers [Deny] for it, since a deny whose key is
// misspelt, or that begins within a character, would otherwise not be found.
var ErrRequest = errors.New("policy: not a request")

// Err returns an error wrapping [ErrRequest], or nil.
func (r Request) Err() error {
	switch {
	case !validAction(r.Action):
		return fmt.Errorf("%w: the action is not service:Name", ErrRequest)
	case r.Resource == "" || len(r.Resource) > MaxResource:
		return fmt.Errorf("%w: the resource is empty or too long", ErrRequest)
	case !r.validText():
		return fmt.Errorf("%w: the resource or a value is not UTF-8, or the values are too long", ErrRequest)
	case !r.validKeys():
		return fmt.Errorf("%w: a context key is not in lower case, or is in both maps", ErrRequest)
	}
	return nil
}

func (r *Request) valid() bool {
	return validAction(r.Action) && r.Resource != "" && len(r.Resource) <= MaxResource && r.validText() && r.validKeys()
}

// validText bounds what patterns are matched with.
func (r *Request) validText() bool {
	left := MaxContext
	text := func(v string) bool {
		left -= len(v) + 16
		return left >= 0 && utf8.ValidString(v)
	}
	for _, v := range r.Context {
		if !text(v) {
			return false
		}
	}
	for _, several := range r.Multi {
		for _, v := range several {
			if !text(v) {
				return false
			}
		}
	}
	return utf8.ValidString(r.Resource)
}

func (r *Request) validKeys() bool {
	for k := range r.Context {
		if hasUpper(k) {
			return false
		}
	}
	for k := range r.Multi {
		if _, both := r.Context[k]; both || hasUpper(k) {
			return false
		}
	}
	return true
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return strings.ToLower(s) != s
		}
		if 'A' <= s[i] && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

func validAction(s string) bool {
	colon := -1
	for i := range len(s) {
		switch c := s[i]; {
		case c == ':' && colon < 0:
			colon = i
		case !actionByte(c) || c == '_' && colon < 0:
			return false
		}
	}
	return colon > 0 && colon < len(s)-1
}

func actionByte(c byte) bool {
	c = lower(c)
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// Decision is what one document says.
type Decision int

// NoMatch is the zero value: the document neither allows nor denies.
const (
	NoMatch Decision = iota
	Allow
	Deny
)

// String returns the decision's name.
func (d Decision) String() string {
	switch d {
	case NoMatch:
		return "no match"
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	}
	return "unknown decision"
}

// Evaluate decides by one document. A nil document never matches. What cannot
// be decided (a variable without a value, a context value of the wrong form)
// keeps an allow from applying and makes a deny apply.
func (d *Document) Evaluate(r Request) Decision {
	out, _ := d.Explain(r)
	return out
}

// Explain is Evaluate, and the index of the statement that decided: the first
// deny that applies, else the first allow, else -1.
func (d *Document) Explain(r Request) (Decision, int) {
	if d == nil {
		return NoMatch, -1
	}
	if !r.valid() {
		return Deny, -1
	}
	return d.decide(&r)
}

// Allowed reports whether every layer allows. No layer, or a nil one, allows
// nothing. Layers are never merged: a variable or a denial of one does not
// reach into another.
func Allowed(r Request, layers ...*Document) bool {
	if len(layers) == 0 || !r.valid() {
		return false
	}
	for _, l := range layers {
		if l == nil {
			return false
		}
		if d, _ := l.decide(&r); d != Allow {
			return false
		}
	}
	return true
}

func (d *Document) decide(r *Request) (Decision, int) {
	out, by := NoMatch, -1
	for i := range d.statements {
		s := &d.statements[i]
		if s.allow && out == Allow || !s.applies(r) {
			continue
		}
		if !s.allow {
			return Deny, i
		}
		out, by = Allow, i
	}
	return out, by
}

func (s *statement) applies(r *Request) bool {
	if s.actions.match(r.Action, r) != yes || !s.counts(s.resources.match(r.Resource, r)) {
		return false
	}
	for i := range s.conditions {
		if !s.counts(s.conditions[i].holds(r)) {
			return false
		}
	}
	return true
}

func (s *statement) counts(t truth) bool { return t == yes || t == undecided && !s.allow }

// list is Action, NotAction, Resource or NotResource.
type list struct {
	not      bool
	text     []string
	patterns []pattern
}

// match decides the list. A negated one is undecided as soon as a variable has
// no value, even where no value would matter: "all but" reaches far.
func (l *list) match(s string, r *Request) truth {
	out := no
	for i := range l.patterns {
		p := &l.patterns[i]
		switch p.match(s, r) {
		case yes:
			return truthOf(!l.not)
		case undecided:
			out = undecided
		default:
			if l.not && p.lacks(r) {
				out = undecided
			}
		}
	}
	if l.not {
		return out.not()
	}
	return out
}
