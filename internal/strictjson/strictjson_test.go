package strictjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Deep int `json:"deep"`
}

type sample struct {
	Name   string            `json:"name"`
	Plain  bool              // known by the field's name
	At     time.Time         `json:"at"`
	List   []inner           `json:"list"`
	Pairs  map[string]string `json:"pairs"`
	Raw    json.RawMessage   `json:"raw"`
	Blob   []byte            `json:"blob"`
	Never  string            `json:"-"`
	hidden string
}

// What a reader could take in two ways is refused, and the error says which
// member it is, never what stands there.
func TestDecode(t *testing.T) {
	t.Parallel()
	unknown := func(name string) error { return UnknownMember(name) }
	for _, c := range []struct {
		in   string
		want error
		says string
	}{
		{`{"name":"n","Plain":true,"at":"2026-01-31T00:00:00Z","list":[{"deep":1}],"pairs":{"a":"1"},"raw":{"any":[1]},"blob":"AAAA"}`, nil, ""},
		{` {"name":null} `, nil, ""},
		{`{}`, nil, ""},
		{``, ErrText, ""},
		{`[]`, ErrText, "no object"},
		{`null`, ErrText, ""},
		{`{"name":"n"`, ErrText, ""},
		{`{"list":[{"deep":1}`, ErrText, ""},
		{`{"list":[}`, ErrText, ""},
		{`{"name":"n"} {}`, ErrText, "after the object"},
		{`{"name":"n"}x`, ErrText, ""},
		{"{\"name\":\"\xff\"}", ErrText, ""},
		{`{"name":"\ud800"}`, ErrText, ""},
		{`{"name":"n","name":"n"}`, ErrText, `"name" is there twice`},
		{`{"name":"n","\u006eame":"n"}`, ErrText, `"name" is there twice`},
		{`{"name":"n","NAME":"n"}`, ErrText, "two cases"},
		{`{"raw":{"a":{"b":1,"b":2}}}`, ErrText, `"b" is there twice`},
		{`{"raw":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, ErrText, ""},
		{`{"Name":"n"}`, unknown("Name"), `"Name" is not supported`},
		{`{"plain":true}`, unknown("plain"), ""},
		{`{"li\u017ft":[]}`, unknown("li\u017ft"), ""},
		{`{"list":[{"Deep":1}]}`, unknown("Deep"), ""},
		{`{"-":"x"}`, unknown("-"), ""},
		{`{"hidden":"x"}`, unknown("hidden"), ""},
		{`{"pairs":{"a":null}}`, ErrValue, ""},
		{`{"name":1}`, ErrValue, `"name"`},
		{`{"list":{"deep":1}}`, ErrValue, `"list"`},
		{`{"at":"secret"}`, ErrValue, `"at"`},
		{`{"at":{"secret":1}}`, ErrValue, `"at"`},
		{`{"blob":"not base64"}`, ErrValue, `"blob"`},
	} {
		var v sample
		err := Decode([]byte(c.in), &v)
		switch {
		case c.want == nil && err != nil, c.want != nil && !errors.Is(err, c.want):
			t.Errorf("%.60s: %v, want %v", c.in, err, c.want)
		case err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "EOF")):
			t.Errorf("%.60s: %q", c.in, err)
		case v.hidden != "" || v.Never != "":
			t.Errorf("%.60s: filled what has no member", c.in)
		}
	}
	var v sample
	if err := Decode([]byte(`{"name":"n","list":[{"deep":2}],"pairs":{"a":"1"}}`), &v); err != nil || !reflect.DeepEqual(v, sample{Name: "n", List: []inner{{2}}, Pairs: map[string]string{"a": "1"}}) {
		t.Errorf("%+v, %v", v, err)
	}
}
