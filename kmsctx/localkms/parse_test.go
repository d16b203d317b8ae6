package localkms

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func sample(t testing.TB) []byte {
	t.Helper()
	b, err := json.Marshal(state{map[string]*key{"key": {bytes.Repeat([]byte{7}, 32), true}},
		map[string]*Grant{"id": {"id", "key", "name", map[string]string{"tenant": "a"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What the root key sealed is still read strictly: a store that says something
// twice, or something unknown, is not one that this package wrote.
func TestParseIsStrict(t *testing.T) {
	t.Parallel()
	good := string(sample(t))
	if s, err := parse([]byte(good)); err != nil || !s.Keys["key"].Disabled || s.Grants["id"].Subset["tenant"] != "a" {
		t.Fatalf("the control: %v", err)
	}
	empty := `{"keys":{},"grants":{}}`
	if _, err := parse([]byte(empty)); err != nil {
		t.Fatalf("an empty store: %v", err)
	}
	for name, c := range map[string][2]string{
		"nothing":           {good, ""},
		"null":              {good, "null"},
		"no keys":           {empty, `{"grants":{}}`},
		"null grants":       {empty, `{"keys":{},"grants":null}`},
		"unknown field":     {`{"keys"`, `{"x":1,"keys"`},
		"duplicate field":   {`"disabled":true`, `"disabled":true,"disabled":false`},
		"missing field":     {`,"disabled":true`, ``},
		"case of a field":   {`"disabled"`, `"Disabled"`},
		"space":             {`{"keys"`, `{ "keys"`},
		"after the end":     {good, good + "{}"},
		"short key":         {`"material":"BwcH`, `"material":"`},
		"null key":          {`"keys":{`, `"keys":{"a":null,`},
		"key without name":  {`"key":{`, `"":{`},
		"null grant":        {`"grants":{`, `"grants":{"a":null,`},
		"other ID":          {`"id":"id"`, `"id":"x"`},
		"no such key":       {`"key":"key"`, `"key":"x"`},
		"no name":           {`"name":"name"`, `"name":""`},
		"no constraint":     {`{"tenant":"a"}`, `{}`},
		"null constraint":   {`{"tenant":"a"}`, `null`},
		"empty constraint":  {`{"tenant":"a"}`, `{"tenant":""}`},
		"constraint, twice": {`{"tenant":"a"}`, `{"tenant":"a","tenant":"a"}`},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if c[0] == empty {
			bad = c[1]
		}
		if bad == good {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if s, err := parse([]byte(bad)); !errors.Is(err, ErrCorrupt) || s.Keys != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte(`{"keys":{},"grants":{}}`))
	f.Add([]byte(`{"keys":{"a":null},"grants":{"b":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("another error: %v", err)
			}
			return
		}
		again, err := json.Marshal(s)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q is written as %q", b, again)
		}
		for _, g := range s.Grants {
			if s.Keys[g.KeyID] == nil || len(g.Subset) == 0 {
				t.Fatalf("%q holds a grant that constrains or opens nothing", b)
			}
		}
	})
}
