package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// The errors of [Decode], besides [UnknownMember]. None repeats a value.
var (
	ErrText  = errors.New("not one JSON object of UTF-8 text with every member once")
	ErrValue = errors.New("a value is not of its member's kind")
)

// UnknownMember is the error for a member that v does not have.
type UnknownMember string

// Error implements error.
func (m UnknownMember) Error() string { return fmt.Sprintf("member %.64q is not supported", string(m)) }

// Decode reads b, which must be one JSON object and nothing after it, into v as
// [json.Unmarshal] does. After an error, v may be half filled.
func Decode(b []byte, v any) error {
	if err := text(b); err != nil {
		return err
	}
	if err := exact(reflect.TypeOf(v), b); err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return culprit(b, reflect.TypeOf(v))
	}
	return nil
}

// culprit names the member that cannot be decoded: encoding/json speaks of Go's
// types, and for some of them names no member.
func culprit(b []byte, t reflect.Type) error {
	var all map[string]json.RawMessage
	if json.Unmarshal(b, &all) != nil || t.Kind() != reflect.Pointer {
		return ErrValue
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: all[name]})
		if err != nil || json.Unmarshal(one, reflect.New(t.Elem()).Interface()) != nil {
			return fmt.Errorf("member %.64q: %w", name, ErrValue)
		}
	}
	return ErrValue
}
