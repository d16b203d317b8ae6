package strictjson

import (
	"encoding/json"
	"reflect"
	"strings"
)

var decodesItself = reflect.TypeFor[json.Unmarshaler]()

// exact refuses members whose names are not, to the letter, those of t:
// encoding/json would take another case, and letters that fold to one, for the
// name itself, and of two such members the last.
func exact(t reflect.Type, b []byte) error {
	if reflect.PointerTo(t).Implements(decodesItself) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return exact(t.Elem(), b)
	case reflect.Slice:
		var list []json.RawMessage
		if t.Elem().Kind() != reflect.Struct || json.Unmarshal(b, &list) != nil {
			return nil // what is no list, decoding says
		}
		for _, v := range list {
			if err := exact(t.Elem(), v); err != nil {
				return err
			}
		}
	case reflect.Map:
		var all map[string]json.RawMessage
		if json.Unmarshal(b, &all) != nil {
			return nil
		}
		for _, v := range all {
			if string(v) == "null" {
				return ErrValue // decoding would make a value of it
			}
		}
	case reflect.Struct:
		var all map[string]json.RawMessage
		if json.Unmarshal(b, &all) != nil {
			return nil
		}
		known := map[string]reflect.Type{}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case !f.IsExported() || f.Tag.Get("json") == "-":
			case name != "":
				known[name] = f.Type
			case !f.Anonymous:
				known[f.Name] = f.Type
			}
		}
		for name, v := range all {
			f, ok := known[name]
			if !ok {
				return UnknownMember(name)
			}
			if err := exact(f, v); err != nil {
				return err
			}
		}
	}
	return nil
}
