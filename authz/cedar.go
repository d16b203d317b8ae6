package authz

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// This file alone touches Cedar's experimental packages.

// Limits of a submitted document, checked before the parser sees it: Cedar's
// parser recurses, and a deep text ends the process.
const (
	MaxPolicyBytes = 10_000
	MaxNesting     = 64
)

// The sentinel errors of this package.
var (
	ErrDenied   = errors.New("authz: denied")
	ErrRejected = errors.New("authz: rejected")
	ErrGuard    = errors.New("authz: the tenant guard does not hold")
	ErrNoPermit = errors.New("authz: no valid permit")
	ErrUnknown  = errors.New("authz: unknown to the directory")
)

// Finding is one reason why a document was rejected.
type Finding struct {
	Policy  string // the policy's name within the document
	Message string
}

// RejectedError lists all findings. It wraps [ErrRejected].
type RejectedError struct {
	Document string
	Findings []Finding
}

// Error joins the findings.
func (e *RejectedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %q:", ErrRejected, e.Document)
	for _, f := range e.Findings {
		fmt.Fprintf(&b, " %s: %s;", f.Policy, f.Message)
	}
	return strings.TrimSuffix(b.String(), ";")
}

// Unwrap returns [ErrRejected].
func (e *RejectedError) Unwrap() error { return ErrRejected }

// Source is one document of policies.
type Source struct{ Name, Text string }

// Schema is a checked schema. It is immutable.
type Schema struct {
	rs        *resolved.Schema
	validator *validate.Validator
	actions   types.EntityMap
}

// ParseSchema parses and resolves a schema in Cedar's syntax. Errors wrap
// [ErrRejected].
func ParseSchema(name string, text []byte) (*Schema, error) {
	var s schema.Schema
	s.SetFilename(name)
	if err := s.UnmarshalCedar(text); err != nil {
		return nil, &RejectedError{name, []Finding{{"schema", err.Error()}}}
	}
	rs, err := s.Resolve()
	if err != nil {
		return nil, &RejectedError{name, []Finding{{"schema", err.Error()}}}
	}
	out := &Schema{rs: rs, validator: validate.New(rs, validate.WithStrict()), actions: types.EntityMap{}}
	// Cedar does not take action groups from the schema at evaluation; they
	// must be entities of the request.
	for uid, a := range rs.Actions {
		out.actions[uid] = types.Entity{UID: uid, Parents: a.Entity.Parents}
	}
	return out, nil
}

// Check parses and validates a document and returns a [*RejectedError] with
// all findings, or nil.
func (s *Schema) Check(src Source) error {
	_, err := s.compile(src, nil)
	return err
}

// compile turns a document into policies. owns, when not nil, decides whether
// an entity that a policy names belongs to the submitter.
func (s *Schema) compile(src Source, owns func(types.EntityUID) bool) (cedar.PolicyList, error) {
	reject := func(policy, format string, a ...any) error {
		return &RejectedError{src.Name, []Finding{{policy, fmt.Sprintf(format, a...)}}}
	}
	if len(src.Text) > MaxPolicyBytes {
		return nil, reject("document", "%d bytes, the limit is %d", len(src.Text), MaxPolicyBytes)
	}
	if d := nesting(src.Text); d > MaxNesting {
		return nil, reject("document", "nested %d deep, the limit is %d", d, MaxNesting)
	}
	list, err := cedar.NewPolicyListFromBytes(src.Name, []byte(src.Text))
	if err != nil {
		return nil, reject("document", "%v", err)
	}
	rejected := &RejectedError{Document: src.Name}
	for i, p := range list {
		name := fmt.Sprintf("policy %d", i)
		tree := (*ast.Policy)(p.AST())
		if err := s.validator.Policy(name, tree); err != nil {
			rejected.Findings = append(rejected.Findings, Finding{name, err.Error()})
		}
		for _, m := range s.missed(tree, owns) {
			rejected.Findings = append(rejected.Findings, Finding{name, m})
		}
	}
	if len(rejected.Findings) > 0 {
		return nil, rejected
	}
	return list, nil
}

// missed finds what the validator accepts and should not: unknown enum members
// and entity types, and entities of somebody else.
func (s *Schema) missed(p *ast.Policy, owns func(types.EntityUID) bool) (out []string) {
	uid := func(u types.EntityUID) {
		if e, ok := s.rs.Enums[u.Type]; ok {
			for _, v := range e.Values {
				if v == u {
					return
				}
			}
			out = append(out, fmt.Sprintf("%s has no member %q", u.Type, u.ID))
			return
		}
		if _, ok := s.rs.Actions[u]; ok {
			return
		}
		if owns != nil && !owns(u) {
			out = append(out, "names an entity that is not the submitter's own")
		}
	}
	typ := func(t types.EntityType) {
		_, a := s.rs.Entities[t]
		_, b := s.rs.Enums[t]
		if !a && !b {
			out = append(out, fmt.Sprintf("unknown entity type %q", t))
		}
	}
	for _, scope := range []any{p.Principal, p.Action, p.Resource} {
		switch n := scope.(type) {
		case ast.ScopeTypeEq:
			uid(n.Entity)
		case ast.ScopeTypeIn:
			uid(n.Entity)
		case ast.ScopeTypeInSet:
			for _, u := range n.Entities {
				uid(u)
			}
		case ast.ScopeTypeIs:
			typ(n.Type)
		case ast.ScopeTypeIsIn:
			typ(n.Type)
			uid(n.Entity)
		}
	}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch n := n.(type) {
			case ast.NodeValue:
				values(n.Value, uid)
			case ast.NodeTypeIs:
				typ(n.EntityType)
			case ast.NodeTypeIsIn:
				typ(n.EntityType)
			}
			return true
		})
	}
	return out
}

func values(v types.Value, uid func(types.EntityUID)) {
	switch v := v.(type) {
	case types.EntityUID:
		uid(v)
	case types.Set:
		for x := range v.All() {
			values(x, uid)
		}
	case types.Record:
		for _, x := range v.All() {
			values(x, uid)
		}
	}
}

// nesting is the deepest bracket level outside strings and comments, where a
// run of unary operators counts too, since the parser recurses into both.
func nesting(s string) int {
	depth, unary, deepest := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '!', '-':
			unary++
		case ' ', '\t', '\n', '\r':
		case '"':
			unary = 0
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '(', '[', '{':
			// A bracket inside a run keeps the run open until it closes.
			depth += 1 + unary
			unary = 0
		case ')', ']', '}':
			depth, unary = max(0, depth-1), 0
		default:
			unary = 0
			if c == '/' && i+1 < len(s) && s[i+1] == '/' {
				for i < len(s) && s[i] != '\n' {
					i++
				}
			}
			if c == ';' {
				depth = 0
			}
		}
		deepest = max(deepest, depth+unary)
	}
	return deepest
}

func uidOf(typ, id string) types.EntityUID {
	return types.NewEntityUID(types.EntityType(namespace+"::"+typ), types.String(id))
}
