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
	material := bytes.Repeat([]byte{7}, 32)
	b, err := json.Marshal(state{
		Keys: map[string]*key{
			"key": {Disabled: true, Versions: []version{{Material: material}}},
			"rotated": {Created: 1, Description: "d", Delete: 9, Window: 7, Policy: defaultPolicy("000000000000"), Tags: map[string]string{"a": "b"},
				Period: 90, Next: 5, Versions: []version{{Material: material}, {material, 2, true}}}},
		Grants: map[string]*grant{
			"id": {ID: "id", KeyID: "key", Name: "name", Subset: map[string]string{"tenant": "a"}},
			"of": {ID: "of", KeyID: "key", Grantee: "arn:aws:iam::000000000000:user/u", Operations: []string{"Decrypt"}, Equals: map[string]string{"T": "a"}, Created: 3}},
		Aliases: map[string]*alias{"alias/a": {"key", 1, 2}}})
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
	empty := `{"keys":{},"grants":{},"aliases":{}}`
	if _, err := parse([]byte(empty)); err != nil {
		t.Fatalf("an empty store: %v", err)
	}
	for name, c := range map[string][2]string{
		"nothing":           {good, ""},
		"null":              {good, "null"},
		"no keys":           {empty, `{"grants":{},"aliases":{}}`},
		"null grants":       {empty, `{"keys":{},"grants":null,"aliases":{}}`},
		"unknown field":     {`{"keys"`, `{"x":1,"keys"`},
		"duplicate field":   {`"disabled":true`, `"disabled":true,"disabled":false`},
		"missing field":     {`"disabled":true,`, ``},
		"null aliases":      {`"aliases":{"alias/a":{"key":"key","created":1,"updated":2}}`, `"aliases":null`},
		"no such alias key": {`"alias/a":{"key":"key"`, `"alias/a":{"key":"x"`},
		"not an alias":      {`"alias/a"`, `"a"`},
		"null alias":        {`{"key":"key","created":1,"updated":2}`, `null`},
		"no material":       {`"versions":[{"material"`, `"versions":[],"x":[{"material"`},
		"empty versions":    {`"disabled":true,"versions":[{"material":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}]`, `"disabled":true,"versions":[]`},
		"bad policy":        {`kms:*`, `kms*`},
		"policy for nobody": {`\"Principal\":{\"AWS\":\"arn:aws:iam::000000000000:root\"},`, ``},
		"no operations":     {`"operations":["Decrypt"]`, `"operations":[]`},
		"other operation":   {`"operations":["Decrypt"]`, `"operations":["Sign"]`},
		"operation twice":   {`"operations":["Decrypt"]`, `"operations":["Decrypt","Decrypt"]`},
		"any grantee":       {`user/u`, `user/*`},
		"no grantee":        {`"grantee":"arn:aws:iam::000000000000:user/u",`, ``},
		"case of a pair":    {`{"T":"a"}`, `{"T":"a","t":"b"}`},
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
	f.Add([]byte(`{"keys":{},"grants":{},"aliases":{}}`))
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
			if s.Keys[g.KeyID] == nil || g.capability() && len(g.Subset) == 0 {
				t.Fatalf("%q holds a grant that constrains or opens nothing", b)
			}
		}
	})
}
