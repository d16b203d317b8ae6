package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The sentinel errors of this package.
var (
	ErrMalformed = errors.New("policy: malformed")
	ErrTooLarge  = errors.New("policy: more than 2048 characters")
	ErrEmpty     = errors.New("policy: empty")
)

// MaxSize is the largest document accepted, in characters.
const MaxSize = 2048

const version = "2012-10-17"

// Document is a parsed policy. Only [Parse] makes one that allows anything.
type Document struct{ statements []statement }

type statement struct {
	allow        bool
	actions      []string // lower case
	notActions   bool
	resources    []string
	notResources bool
	conditions   []condition
}

type condition struct {
	op       string
	ifExists bool
	key      string
	values   []string
}

// Statement is what [Marshal] writes.
type Statement struct {
	Effect    string // "Allow" or "Deny"
	Actions   []string
	Resources []string
}

// Marshal writes a policy of the statements. Resources that hold a name which
// somebody chose must pass it through [Literal].
func Marshal(statements ...Statement) ([]byte, error) {
	type out struct {
		Effect           string
		Action, Resource []string
	}
	doc := struct {
		Version   string
		Statement []out
	}{Version: version}
	for _, s := range statements {
		doc.Statement = append(doc.Statement, out{s.Effect, s.Actions, s.Resources})
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		return nil, err
	}
	raw := bytes.TrimSpace(b.Bytes())
	if _, err := Parse(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// Literal escapes the characters that mean something in a pattern, so that a
// name matches only itself.
func Literal(s string) string {
	return strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace(s)
}

// Parse reads a policy strictly.
func Parse(b []byte) (*Document, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, ErrEmpty
	}
	n := 0
	for _, r := range string(b) {
		if n++; n > MaxSize {
			return nil, ErrTooLarge
		}
		if (r < 0x20 || r > 0xff) && r != '\t' && r != '\n' && r != '\r' {
			return nil, fmt.Errorf("%w: a character outside U+0020 to U+00FF", ErrMalformed)
		}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	var doc Document
	sawVersion, sawStatement := false, false
	err := object(d, func(key string) error {
		switch key {
		case "Version":
			sawVersion = true
			if v, err := text(d); err != nil || v != version {
				return fmt.Errorf("%w: Version must be %q", ErrMalformed, version)
			}
			return nil
		case "Id":
			_, err := text(d)
			return err
		case "Statement":
			sawStatement = true
			return array(d, func() error {
				s, err := parseStatement(d)
				doc.statements = append(doc.statements, s)
				return err
			})
		}
		return fmt.Errorf("%w: unknown key", ErrMalformed)
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: data after the document", ErrMalformed)
	}
	if !sawVersion || !sawStatement || len(doc.statements) == 0 {
		return nil, fmt.Errorf("%w: Version and a non-empty Statement are required", ErrMalformed)
	}
	return &doc, nil
}

func parseStatement(d *json.Decoder) (statement, error) {
	var s statement
	var effect string
	err := object(d, func(key string) (err error) {
		switch key {
		case "Sid":
			_, err = text(d)
		case "Effect":
			effect, err = text(d)
		case "Action", "NotAction":
			if s.actions != nil {
				return fmt.Errorf("%w: Action and NotAction", ErrMalformed)
			}
			s.notActions = key == "NotAction"
			s.actions, err = list(d)
			for i, a := range s.actions {
				if a != "*" && !strings.Contains(a, ":") {
					return fmt.Errorf("%w: an action is service:Name", ErrMalformed)
				}
				s.actions[i] = strings.ToLower(a)
			}
		case "Resource", "NotResource":
			if s.resources != nil {
				return fmt.Errorf("%w: Resource and NotResource", ErrMalformed)
			}
			s.notResources = key == "NotResource"
			s.resources, err = list(d)
			for _, r := range s.resources {
				if _, perr := compile(r); perr != nil {
					return perr
				}
			}
		case "Condition":
			s.conditions, err = parseConditions(d)
		default:
			return fmt.Errorf("%w: unknown key in a statement", ErrMalformed)
		}
		return err
	})
	if err != nil {
		return s, err
	}
	if effect != "Allow" && effect != "Deny" {
		return s, fmt.Errorf("%w: Effect must be Allow or Deny", ErrMalformed)
	}
	if len(s.actions) == 0 || len(s.resources) == 0 {
		return s, fmt.Errorf("%w: a statement needs actions and resources", ErrMalformed)
	}
	s.allow = effect == "Allow"
	return s, nil
}

var operators = map[string]bool{"StringEquals": true, "StringNotEquals": true, "StringLike": true, "StringNotLike": true,
	"DateLessThan": true, "DateGreaterThan": true, "Bool": true}

func parseConditions(d *json.Decoder) (out []condition, err error) {
	err = object(d, func(op string) error {
		base, ifExists := strings.CutSuffix(op, "IfExists")
		if !operators[base] {
			return fmt.Errorf("%w: unknown condition operator", ErrMalformed)
		}
		return object(d, func(key string) error {
			values, err := list(d)
			out = append(out, condition{base, ifExists, strings.ToLower(key), values})
			return err
		})
	})
	return out, err
}

// object reads an object and calls f at each value. Keys that differ only in
// case are duplicates: decoders disagree on which of them counts.
func object(d *json.Decoder, f func(key string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%w: an object is wanted", ErrMalformed)
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok || seen[strings.ToLower(key)] {
			return fmt.Errorf("%w: duplicate or broken key", ErrMalformed)
		}
		seen[strings.ToLower(key)] = true
		if err := f(key); err != nil {
			return err
		}
	}
	if len(seen) == 0 {
		return fmt.Errorf("%w: an empty object", ErrMalformed)
	}
	_, err := d.Token()
	return malformed(err)
}

func array(d *json.Decoder, f func() error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return fmt.Errorf("%w: an array is wanted", ErrMalformed)
	}
	for d.More() {
		if err := f(); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return malformed(err)
}

func malformed(err error) error {
	if err != nil {
		return fmt.Errorf("%w: not JSON", ErrMalformed)
	}
	return nil
}

func text(d *json.Decoder) (string, error) {
	t, err := d.Token()
	s, ok := t.(string)
	if err != nil || !ok || s == "" {
		return "", fmt.Errorf("%w: a string is wanted", ErrMalformed)
	}
	return s, nil
}

// list reads a string or a non-empty array of strings.
func list(d *json.Decoder) (out []string, err error) {
	t, err := d.Token()
	if err != nil {
		return nil, malformed(err)
	}
	if s, ok := t.(string); ok && s != "" {
		return []string{s}, nil
	}
	if t != json.Delim('[') {
		return nil, fmt.Errorf("%w: a string or an array of strings is wanted", ErrMalformed)
	}
	for d.More() {
		s, err := text(d)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: an empty array", ErrMalformed)
	}
	_, err = d.Token()
	return out, malformed(err)
}
