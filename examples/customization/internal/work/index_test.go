package work

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas"
)

// program is a file of Go code that says n.
func program(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package p%d\n", n)
	for i := range 40 {
		fmt.Fprintf(&b, "\n// step%d follows step%d.\nfunc step%d(value int) (int, error) {\n\treturn compute%d(value, %d), nil\n}\n", i, i-1, i, n, i)
	}
	return b.String()
}

// hostile is source that is meant to break whoever parses it.
func hostile() honest {
	noise := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(noise)
	return honest{
		"src/binary.go": string(noise), "src/nul.go": strings.Repeat("\x00", 1<<20), "src/invalid.go": strings.Repeat("\xff\xfe\xc0", 10_000),
		"src/line.go": strings.Repeat("a", 2<<20), "src/lines.go": strings.Repeat("\n", 500_000), "src/words.go": strings.Repeat("a ", 200_000),
		"src/deep.go": "package a\nvar x = " + strings.Repeat("(", 100_000), "src/braces.js": strings.Repeat("{", 100_000) + strings.Repeat("}", 100_000),
		"src/functions.go": strings.Repeat("func f() {\n", 20_000), "src/quotes.py": strings.Repeat(`"""`, 100_001), "src/comment.c": "/*" + strings.Repeat("/*", 100_000),
		"src/bom.go": "\xef\xbb\xbfpackage a", "src/bidi.go": "package a // \u202e\u2066 }", "src/one": "x", "src/cr.go": strings.Repeat("\r", 100_000),
		"src/deep.json": strings.Repeat("[", 500_000), "src/long.md": strings.Repeat("#", 100_000), "src/escape.html": "<script>" + strings.Repeat("&", 100_000),
		"src/" + strings.Repeat("d/", 500) + "x.go": "package deep", "src/\u202ename\u2066.go": "package name", "src/a\nb.go": "package line",
	}
}

// TestChain is the control: source goes through the three workers, each with
// what it is given, and a snapshot that can be scored comes out.
func TestChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source := honest{}
	for i := range 120 {
		source[fmt.Sprintf("src/file%d.go", i)] = program(i)
	}
	copied, staging, err := w.fetch(t.Context(), source)
	if err != nil || copied.Files != len(source) {
		t.Fatalf("%+v, %v", copied, err)
	}
	indexed, snapshot, err := w.index(staging, copied)
	if err != nil || indexed.Files+indexed.HeldOut != len(source) || indexed.HeldOut == 0 || indexed.Chunks == 0 {
		t.Fatalf("%+v, %v", indexed, err)
	}
	evaluate := func(manifest string) (out Evaluated, err error) {
		f := must[*os.File](t)(os.Open(snapshot.Name()))
		defer f.Close()
		reply, err := Evaluate(t.Context(), must[[]byte](t)(json.Marshal(EvaluateRequest{Ticket: w.ticket, Manifest: manifest})), []*os.File{w.attach(), f})
		if err == nil {
			err = json.Unmarshal(reply, &out)
		}
		return out, err
	}
	if _, err := evaluate(indexed.Manifest); !errors.Is(err, fas.ErrTicket) {
		t.Errorf("an evaluation before the snapshot is registered: %v", err)
	}
	var m [32]byte
	if _, err := hex.Decode(m[:], []byte(indexed.Manifest)); err != nil {
		t.Fatal(err)
	}
	if err := w.wall.Register(t.Context(), w.ticket, m); err != nil {
		t.Fatal(err)
	}
	for name, manifest := range map[string]string{"another": strings.Repeat("00", 32), "short": indexed.Manifest[2:], "none": "", "no hex": strings.Repeat("x", 64)} {
		if out, err := evaluate(manifest); err == nil {
			t.Errorf("%s manifest: %+v", name, out)
		}
	}
	out, err := evaluate(indexed.Manifest)
	if err != nil || out.Positions == 0 || out.Score < 1 || out.Score > 10 || out.Customized < out.Generic {
		t.Errorf("%+v, %v", out, err)
	}
	raw := must[[]byte](t)(os.ReadFile(snapshot.Name()))
	if bytes.Contains(raw, []byte("compute7")) {
		t.Error("the snapshot holds source in the clear")
	}
}

// TestHostileSource: whatever the files hold, the index is made or refused
// with a code, and files beside them are found.
func TestHostileSource(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]honest{"all together": hostile(), "with code": {"src/good.go": program(1)}} {
		w := newWorld(t)
		if name == "all together" {
			// XML does not hold every name.
			delete(source, "src/a\nb.go")
		}
		copied, staging, err := w.fetch(t.Context(), source)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		indexed, _, err := w.index(staging, copied)
		if err != nil || indexed.Files != len(source) {
			t.Errorf("%s: %+v, %v (%s)", name, indexed, err, Code(err))
		}
	}
}

// TestIndexRefuses: staging that is not the one that was fetched, and requests
// that are not an index's.
func TestIndexRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	copied, staging, err := w.fetch(t.Context(), honest{"src/a.go": program(1)})
	if err != nil {
		t.Fatal(err)
	}
	raw := must[[]byte](t)(os.ReadFile(staging.Name()))
	file := func(b []byte) *os.File {
		f := must[*os.File](t)(os.CreateTemp(t.TempDir(), "staging"))
		t.Cleanup(func() { _ = f.Close() })
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		return f
	}
	flipped := bytes.Clone(raw)
	flipped[len(flipped)/2] ^= 1
	for name, b := range map[string][]byte{"a bit": flipped, "cut": raw[:len(raw)-1], "longer": append(bytes.Clone(raw), 0), "nothing": nil} {
		if _, _, err := w.index(file(b), copied); !errors.Is(err, ErrStaging) || Code(err) != "staging-damaged" {
			t.Errorf("%s changed: %v", name, err)
		}
		// Nor does a front end that says the changed digest.
		lie := copied
		lie.Digest = digest(b)
		if _, _, err := w.index(file(b), lie); !errors.Is(err, ErrStaging) {
			t.Errorf("%s changed, and its digest: %v", name, err)
		}
	}
	// The staging of another version of another tenant, with its right digest.
	other := newWorld(t)
	if _, _, err := other.index(staging, copied); !errors.Is(err, ErrStaging) {
		t.Errorf("another version's staging: %v", err)
	}
	for _, d := range []string{"", "x", digest(nil), strings.ToUpper(copied.Digest)} {
		lie := copied
		lie.Digest = d
		if _, _, err := w.index(staging, lie); !errors.Is(err, ErrStaging) {
			t.Errorf("the digest %q: %v", d, err)
		}
	}
	for _, n := range []int{-1, 0, 1 << 40} {
		lie := copied
		lie.Files = n
		if out, _, err := w.index(staging, lie); err != nil || out.Files+out.HeldOut != 1 {
			t.Errorf("%d files, says the request: %+v, %v", n, out, err)
		}
	}
	for _, raw := range []string{"", "[]", `{"digest":1}`, `{"files":"x"}`} {
		if _, err := Index(t.Context(), []byte(raw), []*os.File{staging, staging, staging}); err == nil {
			t.Errorf("%q: accepted", raw)
		}
	}
	for n := range 5 {
		if n == 3 {
			continue
		}
		if _, err := Index(t.Context(), []byte(`{}`), make([]*os.File, n)); err == nil {
			t.Errorf("%d descriptors: accepted", n)
		}
	}
	if _, _, err := w.index(staging, copied); err != nil {
		t.Errorf("control: %v", err)
	}
}

// FuzzPositions: a cursor splits its file and loses nothing of it.
func FuzzPositions(f *testing.F) {
	f.Add([]byte(program(1)), 5)
	f.Add([]byte(strings.Repeat("\tvalue := compute(a, b)\r\n", 30)), 3)
	f.Add([]byte(strings.Repeat("ü", 100)), 0)
	f.Add([]byte(strings.Repeat("\n", 100)), -1)
	f.Fuzz(func(t *testing.T, text []byte, limit int) {
		if limit > 1000 || limit < -1000 {
			return
		}
		got := Positions("a.go", text, limit)
		if len(got) > max(limit, 0) {
			t.Fatalf("%d positions, the limit is %d", len(got), limit)
		}
		for _, p := range got {
			line, _, _ := strings.Cut(string(text[len(p.Prefix):]), "\n")
			if !strings.HasPrefix(string(text), p.Prefix) || !strings.HasPrefix(line, p.Want) || strings.Trim(line[len(p.Want):], " \t\r") != "" ||
				p.Prefix+line+p.Suffix != string(text) && p.Prefix+line != string(text) || len(p.Want) < 4 {
				t.Fatalf("%+v is not a place in %q", p, text)
			}
		}
	})
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
