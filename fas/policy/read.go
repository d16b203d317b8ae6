package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ParseError says what [Parse] refused and where. It wraps [ErrMalformed].
type ParseError struct {
	// Statement is the index of the statement, or -1 outside of them.
	Statement int
	// Key is the path of keys from there, such as "Condition.Bool", or "".
	Key string
	// Reason says what is wrong. It repeats at most a key, quoted and cut.
	Reason string
}

// Error returns the place and the reason.
func (e *ParseError) Error() string {
	where := ""
	if e.Statement >= 0 {
		where = fmt.Sprintf(": statement %d", e.Statement)
	}
	if e.Key != "" {
		where += ": " + e.Key
	}
	return ErrMalformed.Error() + where + ": " + e.Reason
}

// Unwrap returns [ErrMalformed].
func (e *ParseError) Unwrap() error { return ErrMalformed }

// reader reads JSON token by token, because decoders into structs accept
// unknown, duplicate and case-variant keys, and disagree on which one counts.
type reader struct {
	d         *json.Decoder
	statement int
	keys      []string
	sids      map[string]bool
}

func newReader(b []byte) *reader {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return &reader{d: d, statement: -1, sids: map[string]bool{}}
}

func (r *reader) fail(format string, args ...any) error {
	return &ParseError{Statement: r.statement, Key: strings.Join(r.keys, "."), Reason: fmt.Sprintf(format, args...)}
}

// shown cuts a key for a message.
func shown(key string) string {
	if r := []rune(key); len(r) > 40 {
		key = string(r[:40]) + "…"
	}
	return fmt.Sprintf("%q", key)
}

func (r *reader) token() (json.Token, error) {
	t, err := r.d.Token()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.fail("the document ends too early")
	case err != nil:
		return nil, r.fail("not JSON at byte %d", r.d.InputOffset())
	}
	if s, ok := t.(string); ok {
		for _, c := range s {
			if !printable(c) {
				return nil, r.fail("an escaped character outside U+0020 to U+00FF, or a control character")
			}
		}
	}
	return t, nil
}

// printable reports what AWS STS takes, less the control characters in it.
func printable(c rune) bool { return c >= 0x20 && c < 0x7f || c >= 0xa0 && c <= 0xff }

// object calls f at each value. Keys that differ only in case are duplicates.
func (r *reader) object(f func(key string) error) error {
	t, err := r.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return r.fail("an object is wanted")
	}
	seen := map[string]bool{}
	for r.d.More() {
		t, err := r.token()
		if err != nil {
			return err
		}
		key := t.(string) // the decoder accepts no other key
		if folded := strings.ToLower(key); seen[folded] {
			return r.fail("key %s is there twice", shown(key))
		} else {
			seen[folded] = true
		}
		r.keys = append(r.keys, shortKey(key))
		if err := f(key); err != nil {
			return err
		}
		r.keys = r.keys[:len(r.keys)-1]
	}
	if _, err = r.token(); err != nil {
		return err
	}
	if len(seen) == 0 {
		return r.fail("an empty object")
	}
	return nil
}

// shortKey is a key of the document for a path in an error.
func shortKey(key string) string {
	if ascii(key) && len(key) <= 64 && !strings.ContainsAny(key, "\"\\") {
		return key
	}
	return shown(key)
}

// unknown refuses the key that object is at.
func (r *reader) unknown(key string, known ...string) error {
	r.keys = r.keys[:len(r.keys)-1]
	for _, k := range known {
		if strings.EqualFold(k, key) {
			return r.fail("unknown key %s; it is written %s", shown(key), k)
		}
	}
	return r.fail("unknown key %s", shown(key))
}

func (r *reader) text() (string, error) {
	t, err := r.token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	switch {
	case !ok:
		return "", r.fail("a string is wanted")
	case s == "":
		return "", r.fail("an empty string")
	}
	return s, nil
}

// scalar is one string, or a number or boolean where bare allows it.
type scalar struct {
	text string
	bare bool
}

// list reads a scalar or a non-empty array of them.
func (r *reader) list(bare kind) (out []scalar, err error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('[') {
		s, err := r.scalar(t, bare)
		return []scalar{s}, err
	}
	for r.d.More() {
		if t, err = r.token(); err != nil {
			return nil, err
		}
		s, err := r.scalar(t, bare)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if _, err = r.token(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, r.fail("an empty array")
	}
	return out, nil
}

func (r *reader) scalar(t json.Token, k kind) (scalar, error) {
	switch v := t.(type) {
	case string:
		if v == "" && k != kindString && k != kindLike && k != kindFold {
			return scalar{}, r.fail("an empty string")
		}
		return scalar{text: v}, nil
	case json.Number:
		if k == kindNumeric || k == kindDate {
			return scalar{string(v), true}, nil
		}
	case bool:
		if k == kindBool || k == kindNull {
			return scalar{fmt.Sprint(v), true}, nil
		}
	}
	return scalar{}, r.fail("a string or an array of strings is wanted")
}
