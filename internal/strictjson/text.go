package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested: a policy needs about eight.
const maxDepth = 16

// text accepts one JSON object in which no object has a member twice, and at
// the top not even in another case: encoding/json would take the last. Nor may
// text be what it would read as another, and two encryption contexts as one:
// what is not UTF-8, and half of a surrogate pair.
func text(b []byte) error {
	if !utf8.Valid(b) || halfPair(b) {
		return ErrText
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	t, err := d.Token()
	if err != nil || t != json.Delim('{') {
		return fmt.Errorf("%w: no object begins it", ErrText)
	}
	if err := members(d, 1); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: something stands after the object", ErrText)
	}
	return nil
}

func members(d *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return ErrText
		}
		key := name
		if depth == 1 {
			key = strings.ToLower(name)
		}
		if seen[key] {
			return fmt.Errorf("%w: %.64q is there twice, or in two cases", ErrText, name)
		}
		seen[key] = true
		if err := value(d, depth); err != nil {
			return err
		}
	}
	return closed(d)
}

// closed reads the end of an object or a list.
func closed(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return ErrText
	}
	return nil
}

func value(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return ErrText
	}
	switch t {
	case json.Delim('{'), json.Delim('['):
		if depth++; depth > maxDepth {
			return ErrText
		}
	default:
		return nil
	}
	if t == json.Delim('{') {
		return members(d, depth)
	}
	for d.More() {
		if err := value(d, depth); err != nil {
			return err
		}
	}
	return closed(d)
}

// halfPair reports whether an escape in valid or other JSON is one half of a
// surrogate pair without the other.
func halfPair(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		first, ok := escaped(b[i:])
		if !ok {
			i++ // whatever is escaped; another backslash escapes nothing
			continue
		}
		i += 5
		if !utf16.IsSurrogate(first) {
			continue
		}
		second, ok := escaped(b[i+1:])
		if !ok || utf16.DecodeRune(first, second) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped reads what follows \u at the beginning of b.
func escaped(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}
