package policy

import (
	"net/netip"
	"strings"
	"time"
)

// kind is the type of values that an operator compares.
type kind byte

const (
	kindString kind = iota
	kindFold
	kindLike
	kindNumeric
	kindDate
	kindBool
	kindBinary
	kindIP
	kindARN
	kindNull
)

// operator is one condition operator without its set prefix and IfExists.
type operator struct {
	kind   kind
	negate bool
	order  string // for numbers and dates: "<", "<=", ">", ">=" or ""
}

var operators = map[string]operator{
	"StringEquals":              {kind: kindString},
	"StringNotEquals":           {kind: kindString, negate: true},
	"StringEqualsIgnoreCase":    {kind: kindFold},
	"StringNotEqualsIgnoreCase": {kind: kindFold, negate: true},
	"StringLike":                {kind: kindLike},
	"StringNotLike":             {kind: kindLike, negate: true},
	"NumericEquals":             {kind: kindNumeric},
	"NumericNotEquals":          {kind: kindNumeric, negate: true},
	"NumericLessThan":           {kind: kindNumeric, order: "<"},
	"NumericLessThanEquals":     {kind: kindNumeric, order: "<="},
	"NumericGreaterThan":        {kind: kindNumeric, order: ">"},
	"NumericGreaterThanEquals":  {kind: kindNumeric, order: ">="},
	"DateEquals":                {kind: kindDate},
	"DateNotEquals":             {kind: kindDate, negate: true},
	"DateLessThan":              {kind: kindDate, order: "<"},
	"DateLessThanEquals":        {kind: kindDate, order: "<="},
	"DateGreaterThan":           {kind: kindDate, order: ">"},
	"DateGreaterThanEquals":     {kind: kindDate, order: ">="},
	"Bool":                      {kind: kindBool},
	"BinaryEquals":              {kind: kindBinary},
	"IpAddress":                 {kind: kindIP},
	"NotIpAddress":              {kind: kindIP, negate: true},
	"ArnEquals":                 {kind: kindARN},
	"ArnNotEquals":              {kind: kindARN, negate: true},
	"ArnLike":                   {kind: kindARN},
	"ArnNotLike":                {kind: kindARN, negate: true},
	"Null":                      {kind: kindNull},
}

const (
	forAll = "ForAllValues:"
	forAny = "ForAnyValue:"
)

// condition is one key of one operator.
type condition struct {
	operator
	name     string // as written
	set      string // "", forAll or forAny
	ifExists bool
	keyText  string // as written
	key      string // in lower case
	values   []value
}

// value is one value of a condition; its operator says which field counts.
type value struct {
	text   string
	bare   bool // written as a JSON number or boolean
	glob   pattern
	arn    []pattern
	number decimal
	at     time.Time
	net    netip.Prefix
	is     bool
}

// parseOperator reads an operator's name with its prefix and suffix.
func parseOperator(name string) (c condition, ok bool) {
	c.name = name
	base := name
	for _, set := range []string{forAll, forAny} {
		if rest, has := strings.CutPrefix(base, set); has {
			c.set, base = set, rest
			break
		}
	}
	base, c.ifExists = strings.CutSuffix(base, "IfExists")
	c.operator, ok = operators[base]
	if c.kind == kindNull && (c.set != "" || c.ifExists) {
		return c, false
	}
	return c, ok
}

// holds decides the condition for a request.
func (c *condition) holds(r *Request) truth {
	got, single := r.Context[c.key]
	many := r.Multi[c.key]
	if c.kind == kindNull {
		return c.isNull(!single && len(many) == 0)
	}
	switch {
	case single:
		return c.satisfied(got, r)
	case len(many) == 0:
		return c.absent()
	case c.set == forAll:
		out := yes
		for _, got := range many {
			switch c.satisfied(got, r) {
			case no:
				return no
			case undecided:
				out = undecided
			}
		}
		return out
	case c.set == forAny:
		out := no
		for _, got := range many {
			switch c.satisfied(got, r) {
			case yes:
				return yes
			case undecided:
				out = undecided
			}
		}
		return out
	case len(many) == 1:
		return c.satisfied(many[0], r)
	}
	return undecided // an operator for one value on a key that has several
}

// absent decides the condition for a request without the key.
func (c *condition) absent() truth {
	switch {
	case c.set == forAll:
		return yes
	case c.set == forAny && c.ifExists:
		return undecided // AWS's pages do not say which of the two wins
	case c.set == forAny:
		return no
	}
	return truthOf(c.ifExists || c.negate)
}

func (c *condition) isNull(absent bool) truth {
	for i := range c.values {
		if c.values[i].is == absent {
			return yes
		}
	}
	return no
}

// satisfied decides one value of the request: some value of the condition
// compares, or none for a negated operator.
func (c *condition) satisfied(got string, r *Request) truth {
	out := no
	for i := range c.values {
		t := c.compare(&c.values[i], got, r)
		if t == yes {
			out = yes
			break
		}
		if t == undecided {
			out = undecided
		}
	}
	if c.negate {
		return out.not()
	}
	return out
}

func (c *condition) compare(v *value, got string, r *Request) truth {
	switch c.kind {
	case kindNumeric:
		n, ok := parseDecimal(got)
		if !ok {
			return undecided
		}
		return truthOf(ordered(n.compare(v.number), c.order))
	case kindDate:
		at, ok := parseDate(got)
		if !ok {
			return undecided
		}
		return truthOf(ordered(at.Compare(v.at), c.order))
	case kindBool:
		is, ok := parseBool(got)
		if !ok {
			return undecided
		}
		return truthOf(is == v.is)
	case kindBinary:
		if !canonicalBase64(got) {
			return undecided
		}
		return truthOf(got == v.text)
	case kindIP:
		a, ok := parseAddr(got)
		if !ok {
			return undecided
		}
		return truthOf(v.net.Contains(a))
	case kindARN:
		return matchARN(v.arn, got, r)
	}
	return v.glob.match(got, r)
}

func ordered(cmp int, order string) bool {
	switch order {
	case "<":
		return cmp < 0
	case "<=":
		return cmp <= 0
	case ">":
		return cmp > 0
	case ">=":
		return cmp >= 0
	}
	return cmp == 0
}

// arnParts is the number of parts of an ARN; the last may hold colons.
const arnParts = 6

// matchARN compares part by part, so that no wildcard reaches over a colon
// except in the last part. What is not an ARN is undecided.
func matchARN(parts []pattern, got string, r *Request) truth {
	out := yes
	for i := range parts {
		part := got
		if i < arnParts-1 {
			var found bool
			if part, got, found = strings.Cut(got, ":"); !found {
				return undecided
			}
		}
		switch parts[i].match(part, r) {
		case no:
			out = no
		case undecided:
			if out == yes {
				out = undecided
			}
		}
	}
	return out
}
