package api

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds nesting before any decoding allocates for it.
const maxDepth = 32

// decode reads exactly one JSON object; an empty body is an empty one. Unknown
// fields are ignored, because newer clients send them. What two readers could
// understand differently is refused: keys that occur twice or differ from a
// field in case only, at any depth; text that is not Unicode; NUL.
func decode(body []byte, v any) error {
	if len(body) == 0 {
		body = []byte("{}")
	}
	if !utf8.Valid(body) {
		return Invalid("The body is not UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := scan(d, 0, reflect.TypeOf(v).Elem()); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return Invalid("The body has data after the JSON object.")
	}
	if !plainEscapes(body) {
		return Invalid("The body has an escape of NUL or of half a character.")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return Invalid("A field of the body has the wrong type.")
	}
	return nil
}

// scan reads one value that goes into a t, or into nothing if t is nil.
func scan(d *json.Decoder, depth int, t reflect.Type) error {
	if depth > maxDepth {
		return Invalid("The body is nested too deeply.")
	}
	tok, err := d.Token()
	if err != nil {
		return Invalid("The body is not JSON.")
	}
	delim, isDelim := tok.(json.Delim)
	if depth == 0 && delim != '{' {
		return Invalid("The body is not a JSON object.")
	}
	if !isDelim {
		return nil
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	fields := fieldsOf(t)
	seen := map[string]bool{}
	for d.More() {
		var next reflect.Type
		switch {
		case delim == '{':
			k, err := d.Token()
			if err != nil {
				return Invalid("The body is not JSON.")
			}
			key, _ := k.(string)
			folded := fold(key)
			if seen[folded] {
				return Invalid("The body has a duplicate key.")
			}
			seen[folded] = true
			if f, ok := fields[folded]; ok && f.name != key {
				return Invalid("A key of the body differs from the operation's only in case.")
			} else if ok {
				next = f.t
			}
		case t != nil && t.Kind() == reflect.Slice:
			next = t.Elem()
		}
		if err := scan(d, depth+1, next); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return Invalid("The body is not JSON.")
	}
	return nil
}

type field struct {
	name string
	t    reflect.Type
}

var knownFields sync.Map // reflect.Type to map[string]field

// fieldsOf returns the fields of a struct by folded name.
func fieldsOf(t reflect.Type) map[string]field {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	if m, ok := knownFields.Load(t); ok {
		return m.(map[string]field)
	}
	m := map[string]field{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && name != "" {
			m[fold(name)] = field{name, f.Type}
		}
	}
	knownFields.Store(t, m)
	return m
}

// fold is the folding under which encoding/json takes one key for another. It
// is wider than lower case: a long s is an s, and a Kelvin sign is a k.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, s)
}

// plainEscapes reports whether the \u escapes of a valid JSON text stand for
// whole characters other than NUL. A reader that meets half a surrogate pair
// may keep it, replace it or fail.
func plainEscapes(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++
		if b[i] != 'u' {
			continue
		}
		unit := codeUnit(b[i+1:])
		i += 4
		switch {
		case unit == 0 || unit >= 0xdc00 && unit <= 0xdfff:
			return false
		case unit >= 0xd800 && unit <= 0xdbff:
			if !bytes.HasPrefix(b[i+1:], []byte(`\u`)) {
				return false
			}
			if low := codeUnit(b[i+3:]); low < 0xdc00 || low > 0xdfff {
				return false
			}
			i += 6
		}
	}
	return true
}

func codeUnit(b []byte) uint64 {
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return 0
	}
	return n
}
