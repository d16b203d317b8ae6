package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Request is one access to decide.
type Request struct {
	Action   string // "s3:GetObject"
	Resource string // an ARN
	// Context holds condition keys and policy variables, in lower case.
	Context map[string]string
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
func (d Decision) String() string { return [...]string{"no match", "allow", "deny"}[d] }

// Evaluate decides by one document. A nil document never matches.
func (d *Document) Evaluate(r Request) Decision {
	if d == nil {
		return NoMatch
	}
	out := NoMatch
	for i := range d.statements {
		s := &d.statements[i]
		if !s.applies(r) {
			continue
		}
		if !s.allow {
			return Deny
		}
		out = Allow
	}
	return out
}

// Allowed reports whether every layer allows. No layer, or a nil one, allows
// nothing.
func Allowed(r Request, layers ...*Document) bool {
	for _, l := range layers {
		if l.Evaluate(r) != Allow {
			return false
		}
	}
	return len(layers) > 0
}

func (s *statement) applies(r Request) bool {
	if matchesAny(s.actions, strings.ToLower(r.Action)) == s.notActions {
		return false
	}
	in := false
	for _, p := range s.resources {
		syms, err := compile(p)
		if err != nil {
			return !s.allow
		}
		syms, ok := expand(syms, r.Context)
		if !ok {
			// A missing variable: an allow does not apply, a deny does.
			if !s.allow {
				return true
			}
			continue
		}
		in = in || match(syms, r.Resource)
	}
	if in == s.notResources {
		return false
	}
	for _, c := range s.conditions {
		if !c.holds(r.Context, s.allow) {
			return false
		}
	}
	return true
}

func matchesAny(patterns []string, v string) bool {
	for _, p := range patterns {
		if syms, err := compile(p); err == nil && match(syms, v) {
			return true
		}
	}
	return false
}

// holds decides one condition. What cannot be decided counts against the
// caller: it fails in an allow and holds in a deny.
func (c condition) holds(ctx map[string]string, allow bool) bool {
	got, ok := ctx[c.key]
	if !ok {
		if c.ifExists || strings.HasPrefix(c.op, "StringNot") {
			return true
		}
		return false
	}
	any := func(f func(want string) bool) bool { return slices.ContainsFunc(c.values, f) }
	switch c.op {
	case "StringEquals":
		return slices.Contains(c.values, got)
	case "StringNotEquals":
		return !slices.Contains(c.values, got)
	case "StringLike":
		return matchesAny(c.values, got)
	case "StringNotLike":
		return !matchesAny(c.values, got)
	case "Bool":
		return any(func(w string) bool { return strings.EqualFold(w, got) })
	}
	at, err := time.Parse(time.RFC3339, got)
	if err != nil {
		return !allow
	}
	return any(func(w string) bool {
		limit, err := time.Parse(time.RFC3339, w)
		if err != nil {
			return !allow
		}
		if c.op == "DateLessThan" {
			return at.Before(limit)
		}
		return at.After(limit)
	})
}

// Subset reports whether everything that scope allows is allowed by profile.
// It answers no, with the reason in words, whenever it cannot prove yes: for
// negated elements, for variables, and for conditions or denials in the
// profile.
func Subset(profile, scope *Document) (ok bool, witness string) {
	if profile == nil || scope == nil {
		return false, "a policy is absent"
	}
	for _, s := range profile.statements {
		if !s.allow || s.notActions || s.notResources || len(s.conditions) > 0 {
			return false, "the profile has a denial, a negation or a condition, which this check does not decide"
		}
	}
	for _, s := range scope.statements {
		if !s.allow {
			continue // a denial only narrows
		}
		if s.notActions || s.notResources {
			return false, "the scope-down has a negated element"
		}
		for _, a := range s.actions {
			for _, r := range s.resources {
				if !profile.covers(a, r) {
					return false, fmt.Sprintf("would allow %s on %s, which the profile does not", a, r)
				}
			}
		}
	}
	return true, ""
}

func (d *Document) covers(action, resource string) bool {
	na, err1 := compile(action)
	nr, err2 := compile(resource)
	if err1 != nil || err2 != nil || hasVariable(nr) {
		return false
	}
	for _, s := range d.statements {
		okA := slices.ContainsFunc(s.actions, func(p string) bool { w, err := compile(p); return err == nil && included(na, w) })
		okR := slices.ContainsFunc(s.resources, func(p string) bool {
			w, err := compile(p)
			return err == nil && !hasVariable(w) && included(nr, w)
		})
		if okA && okR {
			return true
		}
	}
	return false
}

func hasVariable(p []symbol) bool {
	return slices.ContainsFunc(p, func(s symbol) bool { return s.kind == 'v' })
}
