package awssts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/fas/policy"
)

// strs is a string or an array of strings, written back in the shorter form.
type strs []string

func (s *strs) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = strs{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

func (s strs) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		return unescaped(s[0])
	}
	return unescaped([]string(s))
}

type statement struct {
	Effect      string
	Action      strs                       `json:",omitempty"`
	NotAction   strs                       `json:",omitempty"`
	Resource    strs                       `json:",omitempty"`
	NotResource strs                       `json:",omitempty"`
	Condition   map[string]map[string]strs `json:",omitempty"`
}

type document struct {
	Version   string
	Statement []statement
}

const (
	currentTime = "aws:CurrentTime"
	before      = "DateLessThan"
	notBefore   = "DateGreaterThanEquals"
)

// sessionPolicy returns the policy that STS is to put on the session: the
// scope-down, each allowance of it ending at until, and the fence.
func sessionPolicy(profile, scope []byte, until time.Time, fence bool) (string, error) {
	upper, err := policy.Parse(profile)
	if err != nil {
		return "", fmt.Errorf("%w: profile: %w", ErrScope, err)
	}
	lower, err := policy.Parse(scope)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrScope, err)
	}
	// STS takes one session policy, so the two layers can only both hold when
	// the one that is sent lies within the other. "Not known" is a no.
	if in := policy.Subset(upper, lower); in.Answer != policy.Yes {
		return "", fmt.Errorf("%w: not proved to lie within the profile", ErrScope)
	}
	return bounded(lower, until, fence)
}

// bounded adds the end, and the fence, to a parsed policy.
func bounded(d *policy.Document, until time.Time, fence bool) (string, error) {
	canonical, err := d.MarshalJSON()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrScope, err)
	}
	var doc document
	if err := json.Unmarshal(canonical, &doc); err != nil {
		return "", fmt.Errorf("%w: %w", ErrScope, err)
	}
	end := until.UTC().Format("2006-01-02T15:04:05Z") // cuts: earlier, never later
	var actions, resources []string
	for i := range doc.Statement {
		s := &doc.Statement[i]
		if s.Effect != "Allow" {
			continue
		}
		if len(s.Action) == 0 || len(s.Resource) == 0 {
			return "", fmt.Errorf("%w: an allowance by NotAction or NotResource has no outside to close", ErrScope)
		}
		if err := s.endAt(end); err != nil {
			return "", err
		}
		actions, resources = append(actions, s.Action...), append(resources, s.Resource...)
	}
	if len(actions) == 0 {
		return "", fmt.Errorf("%w: it allows nothing", ErrScope)
	}
	if fence {
		doc.Statement = append(doc.Statement, fenced(actions, resources, end)...)
	}
	raw, err := unescaped(doc)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrScope, err)
	}
	if utf8.RuneCount(raw) > policy.MaxSize {
		return "", ErrTooLarge
	}
	if _, err := policy.Parse(raw); err != nil {
		return "", fmt.Errorf("%w: %w", ErrScope, err)
	}
	return string(raw), nil
}

// endAt adds the condition that the current time is before the end. Values of
// one key are alternatives in a policy, so a time of the scope-down's own must
// not stand beside ours.
func (s *statement) endAt(end string) error {
	for op, keys := range s.Condition {
		for key := range keys {
			if strings.EqualFold(op, before) && strings.EqualFold(key, currentTime) {
				return fmt.Errorf("%w: it sets %s of its own; shorten the session instead", ErrScope, currentTime)
			}
		}
	}
	if s.Condition == nil {
		s.Condition = map[string]map[string]strs{}
	}
	if s.Condition[before] == nil {
		s.Condition[before] = map[string]strs{}
	}
	s.Condition[before][currentTime] = strs{end}
	return nil
}

// fenced denies what is not allowed, in words. A policy on a resource, or a
// role's trust policy, may name the session itself as its principal, and then
// the silence of a session policy does not stop it; only a denial does. With
// "*" among the actions or resources that line denies nothing, and is left out.
func fenced(actions, resources []string, end string) (out []statement) {
	slices.Sort(actions)
	slices.Sort(resources)
	actions, resources = slices.Compact(actions), slices.Compact(resources)
	if !slices.Contains(actions, "*") {
		out = append(out, statement{Effect: "Deny", NotAction: actions, Resource: strs{"*"}})
	}
	if !slices.Contains(resources, "*") {
		out = append(out, statement{Effect: "Deny", Action: strs{"*"}, NotResource: resources})
	}
	return append(out,
		statement{Effect: "Deny", Action: strs{"iam:*", "sts:*"}, Resource: strs{"*"}},
		statement{Effect: "Deny", Action: strs{"*"}, Resource: strs{"*"},
			Condition: map[string]map[string]strs{notBefore: {currentTime: {end}}}})
}

// unescaped is json.Marshal without the escapes for HTML, which cost six
// characters of 2,048 each.
func unescaped(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
