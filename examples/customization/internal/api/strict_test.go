package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/tenant"
)

// sample has what the operations' inputs have: embedding, nesting, pointers,
// lists, tenants' text and every kind of number.
type sample struct {
	Identified
	Name    tenant.Text    `json:"name"`
	Count   int            `json:"count"`
	Big     int64          `json:"big"`
	Score   float64        `json:"score"`
	Yes     bool           `json:"yes"`
	Source  *DataReference `json:"source"`
	Members []Permission   `json:"members"`
	Inner   struct {
		Skies string `json:"skies"`
	} `json:"inner"`
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const (
		notJSON, notObject  = "The body is not JSON.", "The body is not a JSON object."
		twice, variant      = "The body has a duplicate key.", "A key of the body differs from the operation's only in case."
		after, deep         = "The body has data after the JSON object.", "The body is nested too deeply."
		notUTF8, badEscape  = "The body is not UTF-8.", "The body has an escape of NUL or of half a character."
		wrong               = "A field of the body has the wrong type."
		kelvin, longS, dotI = "\u212a", "\u017f", "\u0130"
	)
	for _, c := range []struct{ name, bad, why, good string }{
		{"duplicate", `{"count":1,"count":2}`, twice, `{"count":1,"score":2}`},
		{"duplicate of the same value", `{"count":1,"count":1}`, twice, `{"count":1}`},
		{"duplicate by an escape", `{"count":1,"\u0063ount":2}`, twice, `{"\u0063ount":1}`},
		{"duplicate in another case", `{"count":1,"Count":2}`, twice, `{"count":1,"counts":2}`},
		{"duplicate of an unknown key", `{"x":1,"x":2}`, twice, `{"x":1,"y":2}`},
		{"unknown keys that fold together", `{"ſ":1,"S":2}`, twice, `{"ß":1,"ss":2}`},
		{"duplicate inside", `{"source":{"s3Reference":{"uri":"a"},"s3Reference":{"uri":"b"}}}`, twice, `{"source":{"s3Reference":{"uri":"a"}}}`},
		{"duplicate in a list", `{"members":[{"user":"a","user":"b"}]}`, twice, `{"members":[{"user":"a"},{"user":"b"}]}`},
		{"duplicate in an unknown value", `{"x":[[{"a":1,"a":2}]]}`, twice, `{"x":[[{"a":1},{"a":2}]]}`},
		{"case variant", `{"Count":1}`, variant, `{"count":1}`},
		{"case variant of an embedded field", `{"IDENTIFIER":"a"}`, variant, `{"identifier":"a"}`},
		{"case variant inside", `{"source":{"S3Reference":{"uri":"a"}}}`, variant, `{"source":{"s3Reference":{"uri":"a"}}}`},
		{"case variant two inside", `{"source":{"s3Reference":{"URI":"a"}}}`, variant, `{"source":{"s3Reference":{"uri":"a"}}}`},
		{"case variant in a list", `{"members":[{"user":"a"},{"User":"b"}]}`, variant, `{"members":[{"user":"a"},{"user":"b"}]}`},
		{"a Kelvin sign for a k", `{"inner":{"s` + kelvin + `ies":"a"}}`, variant, `{"inner":{"skies":"a"}}`},
		{"a long s for an s", `{"` + longS + `core":1}`, variant, `{"score":1}`},
		{"a long s beside an s", `{"inner":{"skies":"a","` + longS + `kies":"b"}}`, twice, `{"inner":{"skies":"a","x":"b"}}`},
		{"a variant in an escape", `{"\u017fcore":1}`, variant, `{"\u0073core":1}`},
		{"a second object", `{}{}`, after, `{}`},
		{"a word after", `{"count":1} x`, after, `{"count":1} `},
		{"NUL after", "{}\x00", after, "{}\n"},
		{"a bracket after", `{}]`, after, `{}`},
		{"deep lists", `{"x":` + nested(maxDepth+1) + `}`, deep, `{"x":` + nested(maxDepth) + `}`},
		{"a million brackets", `{"x":` + strings.Repeat("[", 1_000_000), deep, `{"x":[]}`},
		{"deep objects", strings.Repeat(`{"x":`, 40) + `1` + strings.Repeat(`}`, 40), deep, strings.Repeat(`{"x":`, 20) + `1` + strings.Repeat(`}`, 20)},
		{"not UTF-8", "{\"x\":\"\xff\"}", notUTF8, `{"x":"ÿ"}`},
		{"a key that is not UTF-8", "{\"\xc3\x28\":1}", notUTF8, `{"(":1}`},
		{"an overlong slash", "{\"x\":\"\xc0\xaf\"}", notUTF8, `{"x":"/"}`},
		{"an encoded surrogate", "{\"x\":\"\xed\xa0\x80\"}", notUTF8, `{"x":"퟿"}`},
		{"UTF-16", "{\x00}\x00", notJSON, `{}`},
		{"a byte order mark", "\xef\xbb\xbf{}", notJSON, `{}`},
		{"half a pair", `{"x":"\ud83d"}`, badEscape, `{"x":"\ud83d\ude00"}`},
		{"the other half", `{"x":"\ude00"}`, badEscape, `{"x":"\\ude00"}`},
		{"halves in the wrong order", `{"x":"\ude00\ud83d"}`, badEscape, `{"x":"\uD83D\uDE00"}`},
		{"half a pair and a letter", `{"x":"\ud83da\ude00"}`, badEscape, `{"x":"a\ud83d\ude00"}`},
		{"half a pair in a key", `{"\ud83d":1}`, badEscape, `{"\ud83d\ude00":1}`},
		{"half a pair at the end", `{"x":"\\\ud83d"}`, badEscape, `{"x":"\\\\ud83d"}`},
		{"NUL escaped", `{"name":"a\u0000b"}`, badEscape, `{"name":"a\u0001b"}`},
		{"NUL in a key", `{"\u0000":1}`, badEscape, `{"\\u0000":1}`},
		{"NUL", "{\"x\":\"\x00\"}", notJSON, `{"x":" "}`},
		{"a control character", "{\"x\":\"\x01\"}", notJSON, `{"x":"\t"}`},
		{"a number too large for a float", `{"score":1e999}`, notJSON, `{"score":1e308}`},
		{"the same where nobody reads it", `{"x":[1e999]}`, notJSON, `{"x":[1e308]}`},
		{"a number too large for the field", `{"big":9223372036854775808}`, wrong, `{"big":9223372036854775807}`},
		{"a fraction for a count", `{"count":1.5}`, wrong, `{"count":-1}`},
		{"an exponent for a count", `{"count":1e2}`, wrong, `{"count":100}`},
		{"a leading zero", `{"count":01}`, notJSON, `{"count":0}`},
		{"NaN", `{"score":NaN}`, notJSON, `{"score":-0.0}`},
		{"hexadecimal", `{"count":0x10}`, notJSON, `{"count":16}`},
		{"text for a count", `{"count":"1"}`, wrong, `{"count":1}`},
		{"a number for text", `{"identifier":1}`, wrong, `{"identifier":"1"}`},
		{"a number for a tenant's text", `{"name":1}`, wrong, `{"name":"1"}`},
		{"an object for text", `{"name":{"p":{"s":"x"}}}`, wrong, `{"name":"x"}`},
		{"a list for an object", `{"source":[]}`, wrong, `{"source":{}}`},
		{"an object for a list", `{"members":{"user":"a"}}`, wrong, `{"members":[{"user":"a"}]}`},
		{"a word for a boolean", `{"yes":"true"}`, wrong, `{"yes":true}`},
		{"a list", `[]`, notObject, `{}`},
		{"null", `null`, notObject, ``},
		{"text", `"{}"`, notObject, `{}`},
		{"a number", `1`, notObject, `{}`},
		{"only spaces", ` `, notJSON, ` {} `},
		{"cut short", `{"count":1`, notJSON, `{"count":1}`},
		{"cut short in a key", `{"cou`, notJSON, `{}`},
		{"a comma too many", `{"count":1,}`, notJSON, `{"count":1}`},
		{"a key that is no text", `{1:2}`, notJSON, `{"1":2}`},
		{"single quotes", `{'count':1}`, notJSON, `{"count":1}`},
		{"a comment", `{/**/}`, notJSON, `{"/**/":1}`},
		// The Turkish i with a dot folds to nothing but itself, as it does in
		// encoding/json.
		{"an i in another case beside a dotted one", `{"` + dotI + `dentifier":"a","Identifier":"b"}`, variant, `{"` + dotI + `dentifier":"a","identifier":"b"}`},
	} {
		var v sample
		err := decode([]byte(c.bad), &v)
		var e *Error
		if !errors.As(err, &e) || e.Code != ErrValidation.Code || e.Message != c.why {
			t.Errorf("%s: got %v, want %s", c.name, err, c.why)
		}
		if err := decode([]byte(c.good), &v); err != nil {
			t.Errorf("%s: control: %v", c.name, err)
		}
	}
}

// TestDecodeReads is the control for values: what is accepted arrives.
func TestDecodeReads(t *testing.T) {
	t.Parallel()
	var v sample
	err := decode([]byte(`{"identifier":"a","name":"\ud83d\ude00","count":-1,"big":2,"score":1e2,"yes":true,
		"source":{"s3Reference":{"uri":"s3://b/p/"},"codeStarReference":{"connectionArn":"x"}},"members":[{"user":"u","group":"g"}],"inner":{"skies":"k"},"later":{"unknown":[1]}}`), &v)
	if err != nil || v.Identifier != "a" || v.Name.Reveal("a test") != "😀" || v.Count != -1 || v.Big != 2 || v.Score != 100 || !v.Yes ||
		v.Source.S3Reference.URI != "s3://b/p/" || v.Members[0].User != "u" || v.Inner.Skies != "k" {
		t.Errorf("%+v, %v", v, err)
	}
}

// FuzzDecode: what is accepted is Unicode, has every key once even after
// folding, and stays what it is when it is written anew and read again; what
// is refused is refused with a fixed text.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, ``, `{"count":1,"Count":2}`, `{"x":"\ud83d\ude00"}`, `{"x":"\ud83d"}`, `{"inner":{"skies":"a"}}`, `{"x":[[{"a":1}]]}`,
		`{"source":{"s3Reference":{"uri":"s3://b/p/"}}}`, "{\"\u017fcore\":1}", `{"score":1e999}`, `{"x":"\\u0000"}`, `{"members":[{"user":"a"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v sample
		if err := decode(body, &v); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Status != 400 {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if len(body) == 0 {
			return
		}
		var whole map[string]any
		if err := json.Unmarshal(body, &whole); err != nil || whole == nil {
			t.Fatalf("accepted %q, which is not an object: %v", body, err)
		}
		keysOnce(t, body)
		again, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(body) || bytes.Contains(again, []byte(`\u0000`)) && !bytes.Contains(body, []byte(`\\u0000`)) {
			t.Fatalf("accepted %q", body)
		}
		var w sample
		if err := decode(again, &w); err != nil {
			t.Fatalf("accepted %q but not %q: %v", body, again, err)
		}
		if !reflect.DeepEqual(v, w) {
			t.Fatalf("%q and %q are read differently: %+v, %+v", body, again, v, w)
		}
		// A reader that knows no case folding gives the same.
		if id, _ := whole["identifier"].(string); id != v.Identifier {
			t.Fatalf("%q: an exact reader sees %q, this one %q", body, id, v.Identifier)
		}
	})
}

// keysOnce reads tokens on its own: no object has two keys that are equal
// under Unicode's folding.
func keysOnce(t *testing.T, body []byte) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	type frame struct {
		keys  []string
		isObj bool
		isKey bool
	}
	var stack []frame
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		top := len(stack) - 1
		if s, ok := tok.(string); ok && top >= 0 && stack[top].isObj && stack[top].isKey {
			for _, k := range stack[top].keys {
				if strings.EqualFold(k, s) {
					t.Fatalf("%q has %q and %q", body, k, s)
				}
			}
			stack[top].keys, stack[top].isKey = append(stack[top].keys, s), false
			continue
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			if len(stack) > maxDepth {
				t.Fatalf("%q is too deep", body)
			}
			if top >= 0 {
				stack[top].isKey = true
			}
			stack = append(stack, frame{isObj: tok == json.Delim('{'), isKey: true})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		default:
			if top >= 0 {
				stack[top].isKey = true
			}
		}
	}
}
