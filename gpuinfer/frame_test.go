package gpuinfer

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	t.Parallel()
	m := promptMessage{N: 3, Prefix: "a\x00b", Suffix: "ä", Path: "p", MaxTokens: 5, Chunks: []string{"x", ""}}
	b, err := frame(m)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		var got promptMessage
		if err := readFrame(bytes.NewReader(b[:i]), &got); err == nil {
			t.Fatalf("cut at %d: %+v", i, got)
		}
	}
	for name, bad := range map[string][]byte{
		"nothing":     {0, 0, 0, 0},
		"not JSON":    {0, 0, 0, 1, 'x'},
		"two values":  {0, 0, 0, 4, '{', '}', '{', '}'},
		"wrong type":  append([]byte{0, 0, 0, 9}, `{"n":"1"}`...),
		"wrong shape": {0, 0, 0, 2, '[', ']'},
		"one more":    append(binary.BigEndian.AppendUint32(nil, maxFrame+1), "{}"+strings.Repeat(" ", maxFrame-1)...),
	} {
		var got promptMessage
		if err := readFrame(bytes.NewReader(bad), &got); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := frame(promptMessage{Prefix: strings.Repeat("x", maxFrame)}); err == nil {
		t.Error("a message above the limit is sent")
	}
	full := append(binary.BigEndian.AppendUint32(nil, maxFrame), "{}"+strings.Repeat(" ", maxFrame-2)...)
	if err := readFrame(bytes.NewReader(full), new(promptMessage)); err != nil {
		t.Errorf("a message at the limit: %v", err)
	}
	var got promptMessage
	r := bytes.NewReader(append(b, b...))
	if err := readFrame(r, &got); err != nil || !reflect.DeepEqual(got, m) || r.Len() != len(b) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, v := range []any{promptMessage{N: 1, Prefix: "p", Chunks: []string{"c"}}, answerMessage{N: 1, Tokens: []Token{{Text: "t", Prob: 0.5,
		Support: []Position{{"d", 1, 2}}}}}, answerMessage{Error: "load"}} {
		b, err := frame(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		check[promptMessage](t, b)
		check[answerMessage](t, b)
	})
}

// check says that a message is read from its own frame and from no byte more,
// and is the same when it was sent again.
func check[T any](t *testing.T, b []byte) {
	r := bytes.NewReader(b)
	var got, again T
	if readFrame(r, &got) != nil {
		return
	}
	if n := int(binary.BigEndian.Uint32(b)); len(b)-r.Len() != 4+n {
		t.Fatalf("%d bytes were read of a frame of %d", len(b)-r.Len(), n)
	}
	sent, err := frame(got)
	if err != nil {
		return // what is escaped may be longer than what was read
	}
	s := bytes.NewReader(sent)
	if err := readFrame(s, &again); err != nil || s.Len() != 0 || !reflect.DeepEqual(norm(got), norm(again)) {
		t.Fatalf("%+v is sent as %+v: %v", got, again, err)
	}
}

// norm forgets the difference between none and empty, which is not sent.
func norm(v any) any {
	switch m := v.(type) {
	case promptMessage:
		m.Chunks = append([]string{}, m.Chunks...)
		return m
	case answerMessage:
		m.Tokens = append([]Token{}, m.Tokens...)
		for i := range m.Tokens {
			m.Tokens[i].Support = append([]Position{}, m.Tokens[i].Support...)
		}
		return m
	}
	return v
}
