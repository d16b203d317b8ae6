package ngram

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/gpuinfer"
)

func corpus(texts ...string) func(func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for i, t := range texts {
			if !yield(fmt.Sprintf("doc%d.go", i), []byte(t)) {
				return
			}
		}
	}
}

func build(t testing.TB, texts ...string) *Model {
	t.Helper()
	m, err := Build(corpus(texts...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func run(t testing.TB, m *Model, prefix string) (string, []gpuinfer.Token) {
	t.Helper()
	var b strings.Builder
	var toks []gpuinfer.Token
	for tok, err := range m.Complete(context.Background(), gpuinfer.Prompt{Prefix: prefix}) {
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(tok.Text)
		toks = append(toks, tok)
	}
	return b.String(), toks
}

const sample = "package x\n\nfunc Sum(a, b int) int {\n\treturn addWithOverflowCheck(a, b)\n}\n"

func TestLexIsLossless(t *testing.T) {
	for _, s := range []string{sample, "", "  a\t b", "ä→ü\r\n\r\n\tx", "a  b\n"} {
		var b strings.Builder
		lex(s, func(i, j int) { b.WriteString(s[i:j]) })
		if b.String() != s {
			t.Errorf("%q became %q", s, b.String())
		}
	}
}

func TestEveryTokenHasProvenance(t *testing.T) {
	m := build(t, sample)
	got, toks := run(t, m, "package y\n\nfunc Other(a, b int) int {\n\treturn")
	if got != " addWithOverflowCheck(a, b)" {
		t.Fatalf("got %q", got)
	}
	for _, tok := range toks {
		if len(tok.Support) == 0 && !tok.FromPrompt {
			t.Errorf("token %q comes from nowhere", tok.Text)
		}
		for _, s := range tok.Support {
			lines := strings.Split(sample, "\n")
			if s.Doc != "doc0.go" || !strings.Contains(lines[s.Line-1], strings.TrimSpace(tok.Text)) || !strings.HasPrefix(sample[s.Offset:], tok.Text) {
				t.Errorf("token %q: support %+v does not hold it", tok.Text, s)
			}
		}
	}
}

func TestForeignTextIsNeverWritten(t *testing.T) {
	mine, theirs := build(t, sample), build(t, "func secretSauce() { return canaryOfTheOther(a, b) }\n")
	for _, prefix := range []string{"\treturn", "func ", "canary", "return canaryOf"} {
		if got, _ := run(t, mine, prefix); strings.Contains(got, "canary") {
			t.Errorf("prefix %q gave %q", prefix, got)
		}
	}
	if got, _ := run(t, theirs, "{ return"); !strings.Contains(got, "canaryOfTheOther") {
		t.Errorf("the control gave %q", got)
	}
}

func TestAbstains(t *testing.T) {
	m := build(t)
	if got, _ := run(t, m, "nothing like this was ever seen "); got != "" {
		t.Errorf("an empty model wrote %q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range build(t, sample).Complete(ctx, gpuinfer.Prompt{Prefix: "return"}) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// What is worth something without the request's own text comes from the corpus.
func TestCorpusOnly(t *testing.T) {
	prefix := "\tzebra := newZebra(giraffe)\n\tzebra := newZebra("
	say := func(m gpuinfer.Model) (s string, own bool) {
		for tok, err := range m.Complete(context.Background(), gpuinfer.Prompt{Prefix: prefix}) {
			if err != nil {
				t.Fatal(err)
			}
			s, own = s+tok.Text, own || tok.FromPrompt
		}
		return s, own
	}
	m := build(t, sample)
	if got, own := say(m.CorpusOnly()); strings.Contains(got, "giraffe") || own {
		t.Errorf("the corpus does not know %q", got)
	}
	if got, own := say(m); !strings.HasPrefix(got, "giraffe") || !own {
		t.Errorf("the open file says giraffe, not %q", got)
	}
}

func TestRoundTripAndDamage(t *testing.T) {
	m := build(t, sample, "func main() {}\n")
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	l, err := Load(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.MarshalBinary()
	if err != nil || !bytes.Equal(b, again) {
		t.Fatal("not the same model", err)
	}
	for i := range b {
		if _, err := Load(b[:i]); !errors.Is(err, ErrModel) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := Load(append(bytes.Clone(b), 0)); !errors.Is(err, ErrModel) {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	b, err := build(f, sample).MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Load(b)
		if err != nil {
			return
		}
		for _, err := range m.Complete(context.Background(), gpuinfer.Prompt{Prefix: "func main() {\n\treturn", MaxTokens: 8}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkComplete(b *testing.B) {
	var text strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&text, "func f%d(a, b int) int {\n\treturn call%d(a, b, %d)\n}\n", i, i%97, i)
	}
	m := build(b, text.String())
	p := gpuinfer.Prompt{Prefix: text.String()[:8<<10] + "func g(a, b int) int {\n\treturn"}
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range m.Complete(context.Background(), p) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func ExampleModel_Complete() {
	m, _ := Build(corpus("func Open(name string) error {\n\treturn openWithAudit(name)\n}\n"))
	say := func(prefix string) {
		text := ""
		for tok := range m.Complete(context.Background(), gpuinfer.Prompt{Prefix: prefix}) {
			text += tok.Text
		}
		fmt.Printf("%q\n", text)
	}
	say("quantum entanglement ")
	say("{\n\treturn")
	// Output:
	// ""
	// " openWithAudit(name)"
}
