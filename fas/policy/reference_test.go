package policy

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The reference is a second evaluator, written from the documents of IAM in the
// slowest and plainest way: regular expressions, floats, no compiled form. It
// works on generated statements, so that it shares nothing with the parser.

type refStatement struct {
	allow            bool
	notAction, notRe bool
	actions, re      []string
	conditions       []refCondition
}

type refCondition struct {
	operator, key string
	values        []string
}

func (s refStatement) MarshalJSON() ([]byte, error) {
	out := map[string]any{"Effect": "Deny"}
	if s.allow {
		out["Effect"] = "Allow"
	}
	name := func(not bool, key string) string {
		if not {
			return "Not" + key
		}
		return key
	}
	out[name(s.notAction, "Action")] = s.actions
	out[name(s.notRe, "Resource")] = s.re
	conditions := map[string]map[string][]string{}
	for _, c := range s.conditions {
		if conditions[c.operator] == nil {
			conditions[c.operator] = map[string][]string{}
		}
		conditions[c.operator][c.key] = c.values
	}
	if len(conditions) > 0 {
		out["Condition"] = conditions
	}
	return json.Marshal(out)
}

func refJSON(t testing.TB, statements []refStatement) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func refParse(t testing.TB, statements []refStatement) *Document {
	t.Helper()
	raw := refJSON(t, statements)
	d, err := Parse(raw)
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return d
}

var refVariable = regexp.MustCompile(`\$\{([^},]*)(?:, *'([^']*)' *)?\}`)

// refExpand makes a regular expression of a text. ok is false when a variable
// has no value, which then may be any.
func refExpand(text string, globs bool, r Request) (expr string, ok bool) {
	ok = true
	plain := func(s string) {
		for _, c := range s {
			switch {
			case c == '*' && globs:
				expr += `(?s:.*)`
			case c == '?' && globs:
				expr += `(?s:.)`
			default:
				expr += regexp.QuoteMeta(string(c))
			}
		}
	}
	for {
		at := refVariable.FindStringSubmatchIndex(text)
		if at == nil {
			plain(text)
			return `\A` + expr + `\z`, ok
		}
		plain(text[:at[0]])
		name := text[at[2]:at[3]]
		value, has := r.Context[strings.ToLower(name)]
		switch {
		case strings.Contains("*?$", name):
			value = name
		case !has && at[4] >= 0:
			value = text[at[4]:at[5]]
		case !has:
			ok = false
			expr += `(?s:.*)`
		}
		expr += regexp.QuoteMeta(value)
		text = text[at[1]:]
	}
}

// refCache keeps regular expressions by their text.
var refCache sync.Map

func refMatch(text string, globs bool, s string, r Request) (match, ok bool) {
	expr, ok := refExpand(text, globs, r)
	re, found := refCache.Load(expr)
	if !found {
		re, _ = refCache.LoadOrStore(expr, regexp.MustCompile(expr))
	}
	if match = re.(*regexp.Regexp).MatchString(s); match && !ok {
		return false, false // for some value, and for others not
	}
	return match, true
}

// refList returns 1, 0, or -1 for what is not known.
func refList(not bool, patterns []string, s string, r Request) int {
	found, open := false, false
	for _, p := range patterns {
		m, ok := refMatch(p, true, s, r)
		if _, known := refExpand(p, true, r); not && !known {
			ok = false // whatever the value would be
		}
		found, open = found || m, open || !ok
	}
	switch {
	case found:
		return map[bool]int{false: 1, true: 0}[not]
	case open:
		return -1
	}
	return map[bool]int{false: 0, true: 1}[not]
}

func refDecide(statements []refStatement, r Request) Decision {
	out := NoMatch
	for _, s := range statements {
		lower := make([]string, len(s.actions))
		for i, a := range s.actions {
			lower[i] = strings.ToLower(a)
		}
		applies := refList(s.notAction, lower, strings.ToLower(r.Action), r) == 1
		if k := refList(s.notRe, s.re, r.Resource, r); k == 0 || k < 0 && s.allow {
			applies = false
		}
		for _, c := range s.conditions {
			if k := refCondHolds(c, r); k == 0 || k < 0 && s.allow {
				applies = false
			}
		}
		switch {
		case applies && !s.allow:
			return Deny
		case applies:
			out = Allow
		}
	}
	return out
}

func refCondHolds(c refCondition, r Request) int {
	op, key := c.operator, strings.ToLower(c.key)
	all, any := strings.HasPrefix(op, "ForAllValues:"), strings.HasPrefix(op, "ForAnyValue:")
	op = strings.TrimPrefix(strings.TrimPrefix(op, "ForAllValues:"), "ForAnyValue:")
	ifExists := strings.HasSuffix(op, "IfExists")
	op = strings.TrimSuffix(op, "IfExists")
	values := r.Multi[key]
	if v, ok := r.Context[key]; ok {
		values = []string{v}
	}
	if op == "Null" {
		want := strconv.FormatBool(len(values) == 0)
		return map[bool]int{true: 1}[slices.Contains(c.values, want)]
	}
	negated := strings.Contains(op, "Not")
	if len(values) == 0 {
		switch {
		case all, !any && (ifExists || negated):
			return 1
		case any && ifExists:
			return -1
		}
		return 0
	}
	if !all && !any && len(values) > 1 {
		return -1
	}
	results := map[int]int{}
	for _, v := range values {
		results[refOne(op, negated, v, c.values, r)]++
	}
	if any && results[1] > 0 || !any && results[0] == 0 && results[-1] == 0 {
		return 1
	}
	if any && results[-1] == 0 || !any && results[0] > 0 {
		return 0
	}
	return -1
}

func refOne(op string, negated bool, got string, wants []string, r Request) int {
	found, open := false, false
	for _, w := range wants {
		m, ok := refCompare(strings.Replace(op, "Not", "", 1), got, w, r)
		found, open = found || m, open || !ok
	}
	switch {
	case found && !negated:
		return 1
	case found:
		return 0
	case open:
		return -1
	case negated:
		return 1
	}
	return 0
}

func refCompare(op, got, want string, r Request) (match, ok bool) {
	switch {
	case op == "StringEquals":
		return refMatch(want, false, got, r)
	case op == "StringEqualsIgnoreCase":
		return refMatch(strings.ToLower(want), false, strings.ToLower(got), r)
	case op == "StringLike":
		return refMatch(want, true, got, r)
	case op == "Bool":
		got = strings.ToLower(got)
		return got == strings.ToLower(want), got == "true" || got == "false"
	case op == "BinaryEquals":
		return got == want, true
	case op == "IpAddress":
		a, err := netip.ParseAddr(got)
		if !strings.Contains(want, "/") {
			want += map[bool]string{true: "/32", false: "/128"}[strings.Contains(want, ".")]
		}
		return err == nil && netip.MustParsePrefix(want).Masked().Contains(a), err == nil
	case strings.HasPrefix(op, "Arn"):
		g, w := strings.SplitN(got, ":", 6), strings.SplitN(want, ":", 6)
		if len(g) != 6 {
			return false, false
		}
		match, ok = true, true
		for i := range w {
			m, o := refMatch(w[i], true, g[i], r)
			ok = ok && o
			match = match && m
			if o && !m {
				return false, true
			}
		}
		return match, ok
	}
	var a, b float64
	if strings.HasPrefix(op, "Date") {
		ta, errA := time.Parse(time.RFC3339, got)
		tb, errB := time.Parse(time.RFC3339, want)
		if errA != nil || errB != nil {
			return false, false
		}
		a, b = float64(ta.Unix()), float64(tb.Unix())
		op = strings.TrimPrefix(op, "Date")
	} else {
		var errA, errB error
		a, errA = strconv.ParseFloat(got, 64)
		b, errB = strconv.ParseFloat(want, 64)
		if errA != nil || errB != nil {
			return false, false
		}
		op = strings.TrimPrefix(op, "Numeric")
	}
	return map[string]bool{"Equals": a == b, "LessThan": a < b, "LessThanEquals": a <= b,
		"GreaterThan": a > b, "GreaterThanEquals": a >= b}[op], true
}
