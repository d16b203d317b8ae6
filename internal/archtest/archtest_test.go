package archtest

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Do not edit the floor table to make a build pass: move the code instead.
func TestHouse(t *testing.T) {
	found, err := Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// Each mutation is a way to break the house; the checker must name it.
func TestMutations(t *testing.T) {
	doc := "// Package x is.\npackage x\n"
	for _, m := range []struct{ name, file, src, want string }{
		{"upward import", "tenant/x.go", "package tenant\nimport _ \"" + Module + "/audit\"\n", "only lower floors"},
		{"sibling import", "kmsctx/x.go", "package kmsctx\nimport _ \"" + Module + "/fas\"\n", "only lower floors"},
		{"part imports its parent", "fas/sigv4/x.go", "package sigv4\nimport _ \"" + Module + "/fas\"\n", "only lower floors"},
		{"part imports another part", "fas/sigv4/x.go", "package sigv4\nimport _ \"" + Module + "/fas/policy\"\n", "only lower floors"},
		{"core imports driver", "retrieval/x.go", "package retrieval\nimport _ \"" + Module + "/retrieval/embedded\"\n", "only lower floors"},
		{"unlisted package", "extra/x.go", doc, "no line in the floor table"},
		{"import of unlisted", "audit/x.go", "package audit\nimport _ \"" + Module + "/extra\"\n", "no line in the floor table"},
		{"third party on the wrong floor", "tenant/x.go", "package tenant\nimport _ \"github.com/cedar-policy/cedar-go\"\n", "from outside"},
		{"testing in a program", "audit/x.go", "package audit\nimport _ \"testing\"\n", "imports testing"},
		{"unsafe", "audit/x.go", "package audit\nimport _ \"unsafe\"\n", "imports unsafe"},
		{"cgo", "audit/x.go", "package audit\nimport \"C\"\n", "imports C"},
		{"weak randomness", "audit/x.go", "package audit\nimport _ \"math/rand/v2\"\n", "imports math/rand/v2"},
		{"log", "audit/x.go", "package audit\nimport _ \"log\"\n", "imports log"},
		{"init", "audit/x.go", "package audit\nfunc init() {}\n", "init()"},
		{"undocumented function", "audit/x.go", "package audit\nfunc Open() {}\n", "no documentation"},
		{"undocumented type", "audit/x.go", "package audit\ntype Log struct{}\n", "no documentation"},
		{"undocumented method", "audit/x.go", "package audit\n// Log is.\ntype Log struct{}\nfunc (*Log) Close() {}\n", "no documentation"},
		{"unlisted sentinel", "audit/x.go", "// Package audit has ErrOther and ErrGoneFor.\npackage audit\n// ErrGone is.\nvar ErrGone = error(nil)\n", "ErrGone is not in the package documentation"},
		{"long file", "audit/x.go", "package audit\n" + strings.Repeat("\n", MaxLines), "the limit is"},
	} {
		t.Run(m.name, func(t *testing.T) {
			root := t.TempDir()
			p := filepath.Join(root, filepath.FromSlash(m.file))
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(m.src), 0o644); err != nil {
				t.Fatal(err)
			}
			found, err := Check(root)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || !strings.Contains(found[0], m.want) {
				t.Errorf("got %q, want one finding with %q", found, m.want)
			}
		})
	}
}

// The positive control: what the table allows is not reported.
func TestAllowed(t *testing.T) {
	root := t.TempDir()
	for file, src := range map[string]string{
		"audit/x.go":         "// Package audit is.\npackage audit\nimport (\n_ \"" + Module + "/tenant\"\n_ \"golang.org/x/mod/sumdb/tlog\"\n)\n",
		"fas/x.go":           "package fas\nimport _ \"" + Module + "/fas/sigv4\"\n",
		"fas/firewalld/x.go": "package firewalld\nimport _ \"" + Module + "/kmsctx/localkms\"\n",
		"audit/x_test.go":    "package audit\nimport _ \"testing\"\n",
	} {
		p := filepath.Join(root, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Check(root)
	if err != nil || len(found) != 0 {
		t.Fatalf("findings %q, error %v", found, err)
	}
}

func TestRoomsAreListedOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range Rooms {
		if seen[r.Dir] {
			t.Errorf("%s has two rows: the second may say something else", r.Dir)
		}
		seen[r.Dir] = true
	}
}

// The drawings that readers see have every room that is there.
func TestRoomsAreDrawn(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"README.md", "doc/architecture.md"} {
		b, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(page)))
		if err != nil {
			t.Fatal(err)
		}
		words := strings.FieldsFunc(string(b), func(r rune) bool {
			return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
		})
		for _, r := range Rooms {
			_, err := os.Stat(filepath.Join("../..", filepath.FromSlash(r.Dir)))
			if err == nil && !strings.HasPrefix(r.Dir, "internal/") && !contains(words, path.Base(r.Dir)) {
				t.Errorf("%s does not name %s", page, r.Dir)
			}
		}
	}
}
