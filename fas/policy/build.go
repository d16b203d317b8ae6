package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Statement is what [Marshal] writes. Names that somebody else chose must pass
// through [Literal] before they become part of a resource or of a condition's
// value; [S3Prefix] and its like do that.
type Statement struct {
	Effect     string // "Allow" or "Deny"
	Actions    []string
	Resources  []string
	Conditions []Condition // all must hold
}

// Condition is one condition operator on one key.
type Condition struct {
	Operator string // "StringEquals", "DateLessThan", …
	Key      string // "aws:CurrentTime"
	Values   []string
}

// When returns the statement with one more condition.
func (s Statement) When(operator, key string, values ...string) Statement {
	s.Conditions = append(slices.Clip(s.Conditions), Condition{operator, key, slices.Clone(values)})
	return s
}

// Until returns the statement with the condition that aws:CurrentTime is before
// t. It cuts t to the second, since STS knows no less. With it a session policy
// ends when it should: credentials of AWS STS live for at least 15 minutes.
func (s Statement) Until(t time.Time) Statement {
	return s.When("DateLessThan", "aws:CurrentTime", t.UTC().Truncate(time.Second).Format(time.RFC3339))
}

// Literal escapes the characters that mean something in a pattern, so that a
// name matches only itself.
func Literal(s string) string {
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(s)
}

// ErrName reports a name that a builder refuses: a bucket that S3 would not
// make, a prefix that does not end in a slash, characters that a policy cannot
// hold, no actions.
var ErrName = errors.New("policy: not a usable name")

// S3Prefix allows actions on the objects of a bucket below a prefix, which ends
// in a slash: "src" would reach into "src-of-another/". The whole bucket has no
// prefix and needs a statement written by hand.
func S3Prefix(bucket, prefix string, actions ...string) (Statement, error) {
	if !strings.HasSuffix(prefix, "/") {
		return Statement{}, fmt.Errorf("%w: a prefix ends in a slash", ErrName)
	}
	return s3(bucket, prefix, "*", actions)
}

// S3Object allows actions on one object.
func S3Object(bucket, key string, actions ...string) (Statement, error) {
	return s3(bucket, key, "", actions)
}

// S3List allows listing what is below a prefix of a bucket. S3 decides
// s3:ListBucket on the bucket's ARN with the prefix as a condition key; sessions
// of localsts have no such key, and are not made with it.
func S3List(bucket, prefix string) (Statement, error) {
	if _, err := S3Prefix(bucket, prefix, "s3:ListBucket"); err != nil {
		return Statement{}, err
	}
	s := Statement{Effect: "Allow", Actions: []string{"s3:ListBucket"}, Resources: []string{"arn:aws:s3:::" + bucket}}
	return s.When("StringLike", "s3:prefix", Literal(prefix)+"*"), nil
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	ipv4Shape  = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$`)
)

// validBucket is the S3 User Guide's rule for general purpose buckets, with
// the prefixes and suffixes that S3 keeps for itself.
func validBucket(name string) bool {
	if !bucketName.MatchString(name) || ipv4Shape.MatchString(name) || strings.Contains(name, "..") {
		return false
	}
	for _, p := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, p) {
			return false
		}
	}
	for _, s := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, s) {
			return false
		}
	}
	return true
}

func s3(bucket, key, tail string, actions []string) (Statement, error) {
	switch {
	case !validBucket(bucket):
		return Statement{}, fmt.Errorf("%w: the bucket", ErrName)
	case key == "" || key == "/":
		return Statement{}, fmt.Errorf("%w: an empty key or prefix", ErrName)
	case len(key) > 1024:
		return Statement{}, fmt.Errorf("%w: a key of more than 1024 bytes", ErrName)
	case strings.ContainsFunc(key, func(c rune) bool { return !printable(c) }):
		return Statement{}, fmt.Errorf("%w: a character that a policy cannot hold", ErrName)
	case len(actions) == 0:
		return Statement{}, fmt.Errorf("%w: no actions", ErrName)
	}
	for _, a := range actions {
		if !validAction(a) || !strings.HasPrefix(strings.ToLower(a), "s3:") {
			return Statement{}, fmt.Errorf("%w: an action is s3:Name, in full", ErrName)
		}
	}
	return Statement{Effect: "Allow", Actions: slices.Clone(actions), Resources: []string{"arn:aws:s3:::" + bucket + "/" + Literal(key) + tail}}, nil
}

// written is a statement in the order in which it is written.
type written struct {
	Effect      string
	Action      any       `json:",omitempty"`
	NotAction   any       `json:",omitempty"`
	Resource    any       `json:",omitempty"`
	NotResource any       `json:",omitempty"`
	Condition   operation `json:",omitempty"`
}

// operation is operator, key, values; encoding sorts it.
type operation map[string]map[string]any

// Marshal writes a policy of the statements and parses it, so that what it
// returns is a policy that [Parse] accepts. Errors are those of Parse.
func Marshal(statements ...Statement) ([]byte, error) {
	var out []written
	for i, s := range statements {
		w := written{Effect: s.Effect, Action: short(s.Actions), Resource: short(s.Resources)}
		for _, c := range s.Conditions {
			if w.Condition == nil {
				w.Condition = operation{}
			}
			keys := w.Condition[c.Operator]
			if keys == nil {
				keys = map[string]any{}
				w.Condition[c.Operator] = keys
			}
			if _, twice := keys[c.Key]; twice {
				return nil, &ParseError{Statement: i, Key: "Condition." + shortKey(c.Operator) + "." + shortKey(c.Key), Reason: "the condition is there twice"}
			}
			keys[c.Key] = short(c.Values)
		}
		out = append(out, w)
	}
	raw, err := encode(out)
	if err != nil {
		return nil, err
	}
	if _, err := Parse(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// MarshalJSON writes the document in one form, for records and hashes: no white
// space, no Sid and Id, keys in order, a list of one as its element. It is never
// longer than what was parsed, and [Parse] accepts it.
func (d *Document) MarshalJSON() ([]byte, error) {
	if d == nil || len(d.statements) == 0 {
		return nil, ErrEmpty
	}
	var out []written
	for _, s := range d.statements {
		w := written{Effect: "Deny"}
		if s.allow {
			w.Effect = "Allow"
		}
		if s.actions.not {
			w.NotAction = short(s.actions.text)
		} else {
			w.Action = short(s.actions.text)
		}
		if s.resources.not {
			w.NotResource = short(s.resources.text)
		} else {
			w.Resource = short(s.resources.text)
		}
		for _, c := range s.conditions {
			if w.Condition == nil {
				w.Condition = operation{}
			}
			if w.Condition[c.name] == nil {
				w.Condition[c.name] = map[string]any{}
			}
			w.Condition[c.name][c.keyText] = c.written()
		}
		out = append(out, w)
	}
	return encode(out)
}

func (c *condition) written() any {
	var out []any
	for _, v := range c.values {
		if v.bare {
			out = append(out, json.RawMessage(v.text))
		} else {
			out = append(out, v.text)
		}
	}
	return short(out)
}

func short[T any](list []T) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func encode(statements []written) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Version   string
		Statement []written
	}{version, statements})
	return bytes.TrimSpace(b.Bytes()), err
}
