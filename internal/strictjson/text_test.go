package strictjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// Text is accepted as it is read, or not at all: what was read as another
// character is what encoding/json puts U+FFFD for, and nobody sent.
func FuzzStrict(f *testing.F) {
	for _, s := range []string{`{"a":"\ud83d\udd11"}`, `{"a":"\ud83d"}`, `{"\udd11":1}`, `{"a":"\\ud83d"}`, `{"a":"\\\ud83d"}`, `{"a":"\ud83d\ud83d\udd11"}`,
		`{"a":"\uD83D\n\udd11"}`, `{"a":"\uD83D\\udd11"}`, `{"a":"\ud83dudd11"}`, "{\"a\":\"\xff\"}", `{"a":["\udbff\udfff",{"b":"\ufffe"}]}`, `{"a":1,"a":2}`, `{"a":"\ud83d\u0041"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := text(b)
		var read map[string]any
		if json.Unmarshal(b, &read) != nil || bytes.Contains(b, []byte("\ufffd")) || strings.Contains(strings.ToLower(string(b)), "fffd") {
			return
		}
		again, merr := json.Marshal(read)
		if merr != nil {
			t.Fatal(merr)
		}
		replaced := !utf8.Valid(b) || bytes.Contains(again, []byte("\ufffd"))
		if replaced && err == nil {
			t.Fatalf("%q is read as %q", b, again)
		}
		if err != nil && !replaced && halfPair(b) {
			t.Fatalf("%q is refused for a character that is whole", b)
		}
	})
}
