package api

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
)

// maxDepth bounds nesting before any decoding allocates for it.
const maxDepth = 32

// decode reads exactly one JSON object. Unknown fields are ignored, because
// newer clients send them; duplicate and case-variant keys are refused,
// because two readers could understand them differently.
func decode(body []byte, v any) error {
	if len(body) == 0 {
		body = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := scan(d, 0, true); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return Invalid("The body has data after the JSON object.")
	}
	if !exactKeys(body, reflect.TypeOf(v).Elem()) {
		return Invalid("A key of the body differs from the operation's only in case.")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return Invalid("A field of the body has the wrong type.")
	}
	return nil
}

func scan(d *json.Decoder, depth int, wantObject bool) error {
	if depth > maxDepth {
		return Invalid("The body is nested too deeply.")
	}
	tok, err := d.Token()
	if err != nil {
		return Invalid("The body is not JSON.")
	}
	delim, isDelim := tok.(json.Delim)
	if wantObject && (!isDelim || delim != '{') {
		return Invalid("The body is not a JSON object.")
	}
	if !isDelim {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			k, err := d.Token()
			if err != nil {
				return Invalid("The body is not JSON.")
			}
			key, _ := k.(string)
			if fold := strings.ToLower(key); seen[fold] {
				return Invalid("The body has a duplicate key.")
			} else {
				seen[fold] = true
			}
		}
		if err := scan(d, depth+1, false); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return Invalid("The body is not JSON.")
	}
	return nil
}

// exactKeys reports whether no top-level key matches a field only after case
// folding, which encoding/json would accept.
func exactKeys(body []byte, t reflect.Type) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return false
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		for k := range m {
			if k != name && name != "" && strings.EqualFold(k, name) {
				return false
			}
		}
	}
	return true
}
