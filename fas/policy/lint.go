package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is one thing in a policy that is allowed and seldom meant.
type Finding struct {
	Statement int    `json:"statement"`
	Code      string `json:"code"`
	Message   string `json:"message"`
}

// The codes of findings.
const (
	// CodeForAllValues: ForAllValues holds when the key is absent, so that an
	// allow with it alone allows callers who send nothing.
	CodeForAllValues = "for-all-values"
	// CodeAbsentKey: a negated operator or IfExists holds when the key is absent.
	CodeAbsentKey = "absent-key"
	// CodeNegation: an allow of all but something.
	CodeNegation = "negation"
	// CodeMints: an allow that reaches services which make credentials.
	CodeMints = "mints"
	// CodeEverything: an allow of every action or every resource.
	CodeEverything = "everything"
	// CodeNotARN: a resource that AWS would not accept.
	CodeNotARN = "not-arn"
	// CodeSetOperator: IfExists on a set operator, which is read differently by
	// different evaluators, or a key that has several values without one.
	CodeSetOperator = "set-operator"
	// CodeNever: an allow that never applies.
	CodeNever = "never"
)

// several are the global condition keys that have several values.
var several = map[string]bool{"aws:tagkeys": true, "aws:calledvia": true, "aws:principalorgpaths": true,
	"aws:resourceorgpaths": true, "aws:sourceorgpaths": true, "aws:principalservicenameslist": true}

// Lint lists what in a policy is probably not meant, in the order of its
// statements. A document without findings may still allow too much; that is
// what [Subset] with a profile is for. A nil document has none.
func Lint(d *Document) []Finding {
	if d == nil {
		return nil
	}
	var out []Finding
	for i := range d.statements {
		s := &d.statements[i]
		add := func(code, format string, args ...any) {
			out = append(out, Finding{i, code, fmt.Sprintf(format, args...)})
		}
		s.lintResources(add)
		for j := range s.conditions {
			s.lintCondition(&s.conditions[j], add)
		}
		if s.allow {
			s.lintReach(add)
		}
	}
	return out
}

func (s *statement) lintResources(add func(code, format string, args ...any)) {
	for _, text := range s.resources.text {
		if text != "*" && !strings.HasPrefix(text, "arn:") {
			add(CodeNotARN, "resource %q is neither * nor an ARN; AWS refuses it", text)
		} else if part := strings.SplitN(text, ":", 4); len(part) > 2 && strings.ContainsAny(part[2], "*?") {
			add(CodeNotARN, "resource %q has a wildcard for the service; AWS refuses it", text)
		}
	}
}

func (s *statement) lintCondition(c *condition, add func(code, format string, args ...any)) {
	switch {
	case c.set != "" && c.ifExists:
		add(CodeSetOperator, "%s: evaluators disagree on IfExists with a set operator", c.name)
	case c.set == "" && c.kind != kindNull && several[c.key]:
		add(CodeSetOperator, "%s has several values: use ForAnyValue, or ForAllValues with Null", c.keyText)
	}
	if !s.allow {
		return
	}
	guarded := slices.ContainsFunc(s.conditions, func(o condition) bool {
		return o.key == c.key && o.kind == kindNull && !slices.ContainsFunc(o.values, func(v value) bool { return v.is })
	})
	switch {
	case guarded || c.kind == kindNull:
	case c.set == forAll:
		add(CodeForAllValues, `%s on %s holds when the key is absent; add {"Null": {"%s": "false"}}`, c.name, c.keyText, c.keyText)
	case c.ifExists || c.negate && c.set == "":
		add(CodeAbsentKey, "%s on %s holds when the key is absent", c.name, c.keyText)
	}
	if c.kind == kindNull && slices.ContainsFunc(s.conditions, func(o condition) bool { return excludes(c, &o) }) {
		add(CodeNever, "%s must be absent and present", c.keyText)
	}
}

func (s *statement) lintReach(add func(code, format string, args ...any)) {
	if s.actions.not {
		add(CodeNegation, "NotAction allows every other action of every service, those to come included")
	}
	if s.resources.not {
		add(CodeNegation, "NotResource allows every other resource")
	}
	if !s.actions.not && slices.Contains(s.actions.text, "*") {
		add(CodeEverything, "every action of every service")
	}
	if !s.resources.not && slices.Contains(s.resources.text, "*") {
		add(CodeEverything, "every resource")
	}
	for _, action := range []string{"sts:AssumeRole", "sts:GetFederationToken", "iam:PassRole", "iam:CreateAccessKey"} {
		if s.actions.match(action, &Request{}) == yes {
			add(CodeMints, "reaches %s: a session could make another", action)
			return
		}
	}
}
