package policy

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	brutePairs = flag.Int("brute.pairs", 0, "random pairs that Subset is compared on: 20,000, or 4,000 with the race detector")
	bruteSeed  = flag.Uint64("brute.seed", 2026, "where the random pairs start")
)

// The small world of the comparison: every resource of up to four letters out
// of three, every action, every context that the two policies can tell apart.
var (
	worldActions   = []string{"s:a", "s:b", "s:ab", "s:c", "t:a", "t:cc"}
	worldResources = func() (out []string) {
		level := []string{""}
		for range 4 {
			var next []string
			for _, s := range level {
				for _, c := range "abc" {
					next = append(next, s+string(c))
				}
			}
			out, level = append(out, next...), next
		}
		return out
	}()
	worldKeys = map[string][]string{ // the first is the key's absence
		"k": {"", "x", "y", "xz"}, "v": {"", "a", "ab"}, "b": {"", "true", "false"}, "n": {"", "4", "5", "6"},
		"d": {"", "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"}, "m": {"", "x", "y", "x y", "y z"}, "i": {"", "10.0.0.1", "10.1.0.1", "11.0.0.1"},
	}
	worldConditions = []refCondition{
		{"StringEquals", "k", []string{"x"}}, {"StringEquals", "k", []string{"x", "y"}}, {"StringNotEquals", "k", []string{"x"}},
		{"StringLike", "k", []string{"x*"}}, {"StringNotLike", "k", []string{"x*"}}, {"StringEqualsIfExists", "k", []string{"x"}},
		{"StringEquals", "k", []string{"${v}"}}, {"StringEquals", "v", []string{"a"}}, {"Bool", "b", []string{"true"}}, {"Bool", "b", []string{"false"}},
		{"BoolIfExists", "b", []string{"false"}}, {"NumericLessThan", "n", []string{"5"}}, {"NumericLessThanEquals", "n", []string{"5"}},
		{"NumericGreaterThan", "n", []string{"4"}}, {"NumericNotEquals", "n", []string{"5"}}, {"DateLessThan", "d", []string{"2026-03-01T00:00:00Z"}},
		{"DateLessThan", "d", []string{"2026-09-01T00:00:00Z"}}, {"DateGreaterThan", "d", []string{"2026-03-01T00:00:00Z"}},
		{"IpAddress", "i", []string{"10.0.0.0/8"}}, {"IpAddress", "i", []string{"10.0.0.0/16"}}, {"NotIpAddress", "i", []string{"10.0.0.0/8"}},
		{"ForAnyValue:StringEquals", "m", []string{"x"}}, {"ForAllValues:StringEquals", "m", []string{"x", "y"}}, {"ForAllValues:StringLike", "m", []string{"x"}},
		{"ForAnyValue:StringEquals", "m", []string{"x", "y"}}, {"ForAllValues:StringEqualsIfExists", "m", []string{"x"}}, {"StringNotEquals", "k", []string{"${v, 'x'}"}},
		{"StringNotEquals", "k", []string{"x", "y"}}, {"Null", "k", []string{"true"}}, {"Null", "k", []string{"false"}}, {"Null", "m", []string{"false"}},
	}
)

// maker makes random policies of that world.
type maker struct{ *rand.Rand }

func (m maker) chance(percent int) bool { return m.IntN(100) < percent }

func (m maker) action() string {
	return []string{"s:a", "s:b", "s:a*", "s:*", "*", "t:a", "s:?", "s:*b", "t:*"}[m.IntN(9)]
}

func (m maker) resource() string {
	var b strings.Builder
	for range 1 + m.IntN(4) {
		switch n := m.IntN(100); {
		case n < 35:
			b.WriteByte('a')
		case n < 60:
			b.WriteByte('b')
		case n < 82:
			b.WriteByte('*')
		case n < 95:
			b.WriteByte('?')
		case n < 98:
			b.WriteString("${v}")
		default:
			b.WriteString("${v, 'b'}")
		}
	}
	return b.String()
}

func (m maker) statement() refStatement {
	s := refStatement{allow: m.chance(78), notAction: m.chance(8), notRe: m.chance(10), actions: []string{m.action()}, re: []string{m.resource()}}
	if m.chance(30) {
		s.actions = append(s.actions, m.action())
	}
	if m.chance(35) {
		s.re = append(s.re, m.resource())
	}
	if m.chance(30) {
		s.conditions = m.conditions(nil)
	}
	return s
}

// conditions adds one, of an operator and key that are not there yet.
func (m maker) conditions(have []refCondition) []refCondition {
	c := worldConditions[m.IntN(len(worldConditions))]
	for _, h := range have {
		if h.operator == c.operator && h.key == c.key {
			return have
		}
	}
	return append(slices.Clone(have), c)
}

func (m maker) policy() (out []refStatement) {
	for range 1 + m.IntN(3) {
		out = append(out, m.statement())
	}
	return out
}

// narrowed makes a scope-down as somebody writes it who knows the profile:
// parts of it, some of them narrower, some of them not.
func (m maker) narrowed(profile []refStatement) (out []refStatement) {
	for _, s := range profile {
		if s.allow && m.chance(25) {
			continue
		}
		s.re, s.actions = slices.Clone(s.re), slices.Clone(s.actions)
		if i := m.IntN(len(s.re)); m.chance(60) {
			s.re[i] = strings.Replace(s.re[i], "*", []string{"a", "b*", "", "?", "*a"}[m.IntN(5)], 1)
			if s.re[i] == "" {
				s.re[i] = "a"
			}
		}
		if i := m.IntN(len(s.actions)); m.chance(30) {
			s.actions[i] = strings.Replace(s.actions[i], "*", "a", 1)
			if s.actions[i] == "a" {
				s.actions[i] = "s:a"
			}
		}
		if m.chance(25) {
			s.conditions = m.conditions(s.conditions)
		}
		if len(s.conditions) > 0 && m.chance(8) {
			s.conditions = s.conditions[1:]
		}
		if s.allow && m.chance(25) {
			s.conditions = m.neighbours(s.conditions, profile)
		}
		if !s.allow && m.chance(50) {
			continue
		}
		out = append(out, s)
	}
	if len(out) == 0 || m.chance(20) {
		out = append(out, m.statement())
	}
	return out
}

// neighbours exchanges conditions for others on the same key, and adds one on a
// key of the profile: pairs that rules between conditions are about.
func (m maker) neighbours(have []refCondition, profile []refStatement) (out []refCondition) {
	other := func(key string) refCondition {
		for {
			if c := worldConditions[m.IntN(len(worldConditions))]; c.key == key {
				return c
			}
		}
	}
	for _, c := range have {
		out = append(out, other(c.key))
	}
	if s := profile[m.IntN(len(profile))]; len(out) == 0 && len(s.conditions) > 0 {
		out = append(out, other(s.conditions[0].key))
	}
	for i := range out {
		for j := range i {
			if out[i].operator == out[j].operator && out[i].key == out[j].key {
				return have
			}
		}
	}
	return out
}

// bitmap is a set of accesses of the small world.
type bitmap [6 * 2]uint64

func (b *bitmap) set(action, resource int) { b[action*2+resource/64] |= 1 << (resource % 64) }

// row is what one pattern makes of each text: 1, 0, or -1 for what is not known.
type row []int8

// allowedBy is every access that the reference allows in one context. Matches
// are remembered by their regular expression.
func allowedBy(statements []refStatement, r Request, memo map[string]row) (out bitmap) {
	match := func(pattern string, not bool, of string, texts []string) row {
		expr, known := refExpand(pattern, true, r)
		k := of + strconv.FormatBool(known) + strconv.FormatBool(not) + expr
		if memo[k] == nil {
			for _, s := range texts {
				m, ok := refMatch(pattern, true, s, r)
				v := int8(0)
				if m {
					v = 1
				} else if !ok || not && !known {
					v = -1
				}
				memo[k] = append(memo[k], v)
			}
		}
		return memo[k]
	}
	var denied bitmap
	for _, s := range statements {
		holds := true
		for _, c := range s.conditions {
			k := refCondHolds(c, r)
			holds = holds && (k == 1 || k < 0 && !s.allow)
		}
		if !holds {
			continue
		}
		side := func(not bool, patterns []string, of string, texts []string) []int {
			var in []int
			rows := make([]row, len(patterns))
			for i, p := range patterns {
				rows[i] = match(p, not, of, texts)
			}
			for i := range texts {
				found, open := false, false
				for _, row := range rows {
					found, open = found || row[i] == 1, open || row[i] < 0
				}
				if found && !not || !found && open && !s.allow || !found && !open && not {
					in = append(in, i)
				}
			}
			return in
		}
		into := &denied
		if s.allow {
			into = &out
		}
		resources := side(s.notRe, s.re, "r", worldResources)
		for _, a := range side(s.notAction, s.actions, "a", worldActions) {
			for _, re := range resources {
				into.set(a, re)
			}
		}
	}
	for i := range out {
		out[i] &^= denied[i]
	}
	return out
}

// contexts is every context that the policies can tell apart, or many of them.
func contexts(m maker, policies ...[]refStatement) []Request {
	used := map[string]bool{}
	for _, p := range policies {
		for _, s := range p {
			for _, c := range s.conditions {
				used[c.key] = true
				used["v"] = used["v"] || strings.Contains(c.values[0], "${v")
			}
			used["v"] = used["v"] || strings.Contains(strings.Join(s.re, ""), "${v")
		}
	}
	out := []Request{{}}
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range used {
			if used[k] && !yield(k) {
				return
			}
		}
	}) {
		var next []Request
		for _, r := range out {
			for _, v := range worldKeys[k] {
				next = append(next, withKey(r, k, v))
			}
		}
		m.Shuffle(len(next), func(i, j int) { next[i], next[j] = next[j], next[i] })
		out = next[:min(len(next), 150)]
	}
	return out
}

func withKey(r Request, k, v string) Request {
	if v == "" {
		return r
	}
	out := Request{Action: r.Action, Resource: r.Resource, Context: map[string]string{}, Multi: map[string][]string{}}
	for k, v := range r.Context {
		out.Context[k] = v
	}
	for k, v := range r.Multi {
		out.Multi[k] = v
	}
	if k == "m" {
		out.Multi[k] = strings.Fields(v)
	} else {
		out.Context[k] = v
	}
	return out
}

// Subset against every access of the small world, as the reference decides it.
func TestSubsetAgainstBruteForce(t *testing.T) {
	t.Parallel()
	const maxUnknown = 0.10
	pairs := *brutePairs
	switch {
	case pairs > 0:
	case raceDetector:
		pairs = 4000
	default:
		pairs = 20000
	}
	m := maker{rand.New(rand.NewPCG(4, *bruteSeed))}
	memo := map[string]row{}
	count := map[Answer]int{}
	reasons := map[string]int{}
	for n := range pairs {
		profile := m.policy()
		scope := m.policy()
		if n%2 == 0 {
			scope = m.narrowed(profile)
		}
		in := Subset(refParse(t, profile), refParse(t, scope))
		count[in.Answer]++
		switch in.Answer {
		case No:
			if refDecide(scope, in.Witness) != Allow || refDecide(profile, in.Witness) == Allow {
				t.Fatalf("the witness is none: %s\nprofile %s\nscope %s", in.Reason, refJSON(t, profile), refJSON(t, scope))
			}
		case Yes:
			for _, r := range contexts(m, profile, scope) {
				got, may := allowedBy(scope, r, memo), allowedBy(profile, r, memo)
				for i := range got {
					if got[i]&^may[i] != 0 {
						t.Fatalf("yes, but not for action %s in %v\nprofile %s\nscope %s", worldActions[i/2], r, refJSON(t, profile), refJSON(t, scope))
					}
				}
			}
		default:
			if in.Reason == "" {
				t.Fatal("unknown without a reason")
			}
			reasons[in.Reason[max(0, len(in.Reason)-40):]]++
			if testing.Verbose() && n < 2000 {
				t.Logf("%s\nprofile %s\nscope   %s", in.Reason, refJSON(t, profile), refJSON(t, scope))
			}
		}
	}
	t.Logf("%d pairs: %d yes, %d no, %d unknown", pairs, count[Yes], count[No], count[Unknown])
	if testing.Verbose() {
		t.Log(reasons)
	}
	if float64(count[Unknown]) > maxUnknown*float64(pairs) {
		t.Errorf("%d of %d unknown", count[Unknown], pairs)
	}
	if count[Yes] < pairs/20 || count[No] < pairs/20 {
		t.Errorf("%d yes, %d no: the comparison has little to compare", count[Yes], count[No])
	}
}
