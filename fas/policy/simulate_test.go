package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The differential test compares decisions with a second evaluator, an npm
// package that is run as a program of its own. CLOISTER_IAM_SIMULATE is the
// node_modules folder that holds @cloud-copilot/iam-simulate.

var (
	simulateCases = flag.Int("simulate.cases", 24000, "random cases that are decided twice")
	simulateSeed  = flag.Uint64("simulate.seed", 11, "where the random cases start")
)

// simulation is one case as testdata/simulate.mjs reads it.
type simulation struct {
	Profile  json.RawMessage `json:"profile"`
	Scope    json.RawMessage `json:"scope,omitempty"`
	Action   string          `json:"action"`
	Resource string          `json:"resource"`
	Context  map[string]any  `json:"context"`

	layers  []*Document
	request Request
	written [][]refStatement
}

var (
	simActions   = []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectTagging"}
	simPatterns  = []string{"s3:GetObject", "s3:Get*", "s3:*", "*", "s3:?etObject", "S3:getobject", "s3:*Object", "sqs:*", "s3:GetObject?agging"}
	simResources = []string{"arn:aws:s3:::bkt/src/a", "arn:aws:s3:::bkt/src/a/b", "arn:aws:s3:::bkt/red/x", "arn:aws:s3:::bkt/x", "arn:aws:s3:::other/src/a", "arn:aws:s3:::bkt/blue/c", "arn:aws:s3:::bkt/SRC/a", "arn:aws:sqs:eu-west-1:111122223333:queue"}
	simGlobs     = []string{"arn:aws:s3:::bkt/*", "arn:aws:s3:::bkt/src/*", "arn:aws:s3:::*", "*", "arn:aws:s3:::bkt/src/?", "arn:aws:s3:::bkt/*/a", "arn:aws:s3:::b*/src/a",
		"arn:aws:s3:::bkt/${aws:PrincipalTag/team}/*", "arn:aws:s3:::bkt/${aws:PrincipalTag/team, 'red'}/*", "arn:aws:s3:::bkt/${*}", "arn:aws:s3:::bkt/blue/${?}", "arn:aws:s3:::bkt/src/a", "arn:aws:sqs:*:*:queue", "arn:aws:sqs:eu-west-1:111122223333:*"}
	simContext = map[string][]any{
		"aws:PrincipalTag/team":  {nil, "red", "blue", "src", "*"},
		"aws:username":           {nil, "ann", "Ann", "bob", "an*"},
		"aws:SecureTransport":    {nil, "true", "false", "TRUE"},
		"aws:MultiFactorAuthAge": {nil, "299", "300", "300.0", "301", "-1"},
		"aws:CurrentTime":        {nil, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:01Z"},
		"aws:SourceIp":           {nil, "203.0.113.7", "203.0.114.1", "2001:db8::1"},
		"aws:SourceArn":          {nil, "arn:aws:sns:eu-west-1:111122223333:topic", "arn:aws:sns:us-east-1:111122223333:topic:sub", "arn:aws:sqs:eu-west-1:444455556666:q"},
		"aws:TagKeys":            {nil, []string{"a"}, []string{"a", "b"}, []string{"b", "c"}, []string{"ab"}},
	}
	simValues = map[string][]string{
		"String":  {"ann", "Ann", "bob", "an*", "a?n", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/team, 'ann'}", "an${*}"},
		"Numeric": {"300", "299.5", "0"},
		"Date":    {"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
		"Bool":    {"true", "false"},
		"Ip":      {"203.0.113.0/24", "203.0.113.7", "0.0.0.0/0", "2001:db8::/32"},
		"Arn":     {"arn:aws:sns:*:111122223333:topic", "arn:aws:sns:eu-west-?:111122223333:*", "arn:aws:*:*:*:*"},
		"Tags":    {"a", "b", "a*"},
		"Null":    {"true", "false"},
	}
	simKeys = map[string]string{"String": "aws:username", "Numeric": "aws:MultiFactorAuthAge", "Date": "aws:CurrentTime", "Bool": "aws:SecureTransport",
		"Ip": "aws:SourceIp", "Arn": "aws:SourceArn", "Tags": "aws:TagKeys"}
)

func (m maker) simCondition() refCondition {
	ops := []string{"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
		"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
		"Bool", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null", "Tags", "Tags"}
	op := ops[m.IntN(len(ops))]
	class := ""
	for _, c := range []string{"String", "Numeric", "Date", "Bool", "Ip", "Arn", "Null", "Tags"} {
		if strings.Contains(op, c) {
			class = c
		}
	}
	c := refCondition{operator: op, key: simKeys[class]}
	switch {
	case class == "Null":
		c.key = simKeys[slices.Sorted(mapKeys(simKeys))[m.IntN(len(simKeys))]]
	case class == "Tags":
		c.operator = []string{"ForAllValues:", "ForAnyValue:"}[m.IntN(2)] + []string{"StringEquals", "StringLike", "StringNotEquals", "StringNotLike"}[m.IntN(4)]
	}
	if class != "Null" && m.chance(20) && class != "Tags" {
		c.operator += "IfExists"
	}
	values := simValues[class]
	for range 1 + m.IntN(2) {
		if v := values[m.IntN(len(values))]; !slices.Contains(c.values, v) {
			c.values = append(c.values, v)
		}
	}
	return c
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (m maker) simPolicy() (out []refStatement) {
	for range 1 + m.IntN(4) {
		s := refStatement{allow: m.chance(70), notAction: m.chance(7), notRe: m.chance(7)}
		for range 1 + m.IntN(2) {
			s.actions = append(s.actions, simPatterns[m.IntN(len(simPatterns))])
			s.re = append(s.re, simGlobs[m.IntN(len(simGlobs))])
		}
		for range m.IntN(3) {
			c := m.simCondition()
			if !slices.ContainsFunc(s.conditions, func(h refCondition) bool { return h.operator == c.operator && h.key == c.key }) {
				s.conditions = append(s.conditions, c)
			}
		}
		out = append(out, s)
	}
	return out
}

func (m maker) simulation(t *testing.T) *simulation {
	s := &simulation{Action: simActions[m.IntN(len(simActions))], Resource: simResources[m.IntN(len(simResources))], Context: map[string]any{}}
	if strings.Contains(s.Resource, ":sqs:") {
		s.Action = "sqs:SendMessage" // the other refuses an action on what it is not for
	}
	s.request = Request{Action: s.Action, Resource: s.Resource, Context: map[string]string{}, Multi: map[string][]string{}}
	for _, k := range slices.Sorted(mapKeys(simContext)) {
		switch v := simContext[k][m.IntN(len(simContext[k]))].(type) {
		case string:
			s.Context[k], s.request.Context[strings.ToLower(k)] = v, v
		case []string:
			s.Context[k], s.request.Multi[strings.ToLower(k)] = v, v
		}
	}
	s.written = append(s.written, m.simPolicy())
	if m.chance(40) {
		s.written = append(s.written, m.simPolicy())
	}
	for i, w := range s.written {
		raw := refJSON(t, w)
		s.layers = append(s.layers, refParse(t, w))
		if i == 0 {
			s.Profile = raw
		} else {
			s.Scope = raw
		}
	}
	return s
}

// answer is ours in the words of the other.
func (s *simulation) answer() string {
	out := Allow
	for _, l := range s.layers {
		switch d := l.Evaluate(s.request); {
		case d == Deny:
			return "ExplicitlyDenied"
		case d != Allow:
			out = d
		}
	}
	if out != Allow {
		return "ImplicitlyDenied"
	}
	return "Allowed"
}

func TestAgainstSimulator(t *testing.T) {
	modules := os.Getenv("CLOISTER_IAM_SIMULATE")
	if modules == "" {
		t.Skip("CLOISTER_IAM_SIMULATE is not set: the folder of node modules with @cloud-copilot/iam-simulate")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node to run the second evaluator with")
	}
	t.Parallel()
	m := maker{rand.New(rand.NewPCG(7, *simulateSeed))}
	var cases []*simulation
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for range *simulateCases {
		s := m.simulation(t)
		cases = append(cases, s)
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(node, "testdata/simulate.mjs", modules)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(cases) {
		t.Fatalf("%d answers to %d cases", len(answers), len(cases))
	}
	count, explained, shown := map[string]int{}, map[string]int{}, 0
	for i, s := range cases {
		got := s.answer()
		count[got]++
		if got == answers[i] {
			continue
		}
		if why := s.explained(t, answers[i]); why != "" {
			explained[why]++
			continue
		}
		if shown++; shown <= 5 {
			t.Errorf("we say %s, the other %s\nprofile %s\nscope   %s\nrequest %s %s %v", got, answers[i], s.Profile, s.Scope, s.Action, s.Resource, s.Context)
		}
	}
	t.Logf("%d cases: %v; differences that are understood: %v; that are not: %d", len(cases), count, explained, shown)
	if count["Allowed"] < *simulateCases/20 || count["ExplicitlyDenied"] < *simulateCases/20 {
		t.Error("the cases are too much alike")
	}
}

// reading is a way in which the other evaluator reads policies otherwise. Each
// names the page of the IAM User Guide, or the rule of ours, that decides.
type reading struct {
	name    string
	rewrite func(s *refStatement, r Request) (gone bool)
}

var readings = []reading{
	// "IP address condition operators": the value is in CIDR form, and every
	// IPv4 address is in 0.0.0.0/0. The other matches none of them.
	{"0.0.0.0/0 holds no address", func(s *refStatement, _ Request) bool {
		s.eachValue(func(c refCondition, v string) string { return strings.Replace(v, "0.0.0.0/0", "255.255.255.255/32", 1) })
		return false
	}},
	// "Policy variables": ${*}, ${?} and ${$} work in any string where variables
	// do, which StringEquals is. The other expands them for StringLike only.
	{"${*} in StringEquals stands for itself", func(s *refStatement, _ Request) bool {
		s.eachValue(func(c refCondition, v string) string {
			if strings.Contains(c.operator, "Equals") {
				v = strings.ReplaceAll(v, "${*}", "#")
			}
			return v
		})
		return false
	}},
	// "IP address condition operators": NotIpAddress is every address but those
	// named. The other has neither hold for an address of the other family.
	{"an IPv6 address compares with no bare IPv4 address, not even unequal", func(s *refStatement, r Request) bool {
		six := strings.Contains(r.Context["aws:sourceip"], ":")
		return slices.ContainsFunc(s.conditions, func(c refCondition) bool {
			return six && strings.HasPrefix(c.operator, "NotIp") && slices.Contains(c.values, "203.0.113.7")
		})
	}},
	// The guide says that a variable without a value may make a statement
	// invalid, and not what a denial does then. Ours counts it against the
	// caller: a denial applies, an allowance of "all but" does not. The other
	// compares the first parts of an ARN first, and then finds no match.
	{"what lacks a variable does not apply", func(s *refStatement, r Request) bool {
		lacks := func(v string) bool { _, ok := refExpand(v, false, r); return !ok }
		service := func(v string) string { return strings.Join(strings.SplitN(v, ":", 6)[:3], ":") }
		missing := slices.DeleteFunc(slices.Clone(s.re), func(v string) bool { return !lacks(v) })
		if s.notRe && slices.ContainsFunc(missing, func(v string) bool { return service(v) == service(r.Resource) }) {
			return true
		}
		if s.re = slices.DeleteFunc(slices.Clone(s.re), lacks); len(s.re) == 0 {
			if !s.notRe {
				return true
			}
			s.notRe, s.re = false, []string{"*"}
		}
		s.conditions = slices.Clone(s.conditions)
		for i, c := range s.conditions {
			have := slices.DeleteFunc(slices.Clone(c.values), lacks)
			if len(have) == 0 || len(have) < len(c.values) && strings.Contains(c.operator, "Not") {
				return true
			}
			s.conditions[i].values = have
		}
		return false
	}},
}

func (s *refStatement) eachValue(f func(c refCondition, v string) string) {
	s.conditions = slices.Clone(s.conditions)
	for i, c := range s.conditions {
		values := slices.Clone(c.values)
		for j := range values {
			values[j] = f(c, values[j])
		}
		s.conditions[i].values = values
	}
}

// explained names the reading with which our answer would be theirs.
func (s *simulation) explained(t *testing.T, theirs string) string {
	for only := range len(readings) + 1 {
		other := *s
		other.layers = nil
		for _, w := range s.written {
			var statements []refStatement
			for _, st := range w {
				gone := false
				for i, rd := range readings {
					if only == len(readings) || i == only {
						gone = rd.rewrite(&st, s.request) || gone
					}
				}
				if !gone {
					statements = append(statements, st)
				}
			}
			if len(statements) == 0 {
				other.layers = append(other.layers, nil)
				continue
			}
			other.layers = append(other.layers, refParse(t, statements))
		}
		if other.answer() == theirs {
			if only == len(readings) {
				return "several of these"
			}
			return readings[only].name
		}
	}
	return ""
}
