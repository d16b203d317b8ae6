package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
	"github.com/cloisterdev/cloister/tenant"
)

// TestPlainIndexRanksAsEmbedded: a peer that searches less would win for
// nothing.
func TestPlainIndexRanksAsEmbedded(t *testing.T) {
	t.Parallel()
	docs, err := corpus(t.Context(), []string{"os", "sort", "strings"})
	if err != nil {
		t.Fatal(err)
	}
	docs = append(docs, retrieval.Document{Path: "binary.go", Text: []byte("package b\x00")})
	f, err := os.Create(filepath.Join(t.TempDir(), "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := retrieval.Binding{Tenant: tenant.NewID(), Customization: tenant.NewCustomizationID(), Collection: tenant.NewCollectionID(), Snapshot: tenant.NewSnapshotID()}
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	w, err := embedded.Create(f, b, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		if err := w.Add(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	manifest, _, err := w.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snap, err := embedded.OpenFile(f, b, manifest, key)
	if err != nil {
		t.Fatal(err)
	}
	plain := newPlainIndex(docs)
	found := 0
	for i, d := range docs {
		text := string(d.Text)
		for _, q := range []retrieval.Query{
			{Text: lastLines(text[:len(text)/2], promptLines), Path: d.Path, K: 3},
			{Text: strings.ReplaceAll(d.Path, "/", " "), K: 1 + i%50},
			{Text: text[:min(len(text), 60_000)], K: 10},
		} {
			want, err := snap.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got := plain.search(q); len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, %d hits: got\n%.500v\nwant\n%.500v", d.Path, q.K, got, want)
			}
			found += len(want)
		}
	}
	if found < len(docs) {
		t.Errorf("%d hits tell nothing", found)
	}
}

func TestHeldOut(t *testing.T) {
	t.Parallel()
	var docs []retrieval.Document
	for i := range 2000 {
		docs = append(docs, retrieval.Document{Path: fmt.Sprintf("f%04d.go", i)})
	}
	indexed, held := heldOut(docs)
	if len(held) != 24 || len(indexed)+len(held) != len(docs) {
		t.Errorf("%d of %d are held out", len(held), len(docs))
	}
	// Too few files to spare one.
	if indexed, held := heldOut(docs[:39]); len(held) != 0 || len(indexed) != 39 {
		t.Errorf("%d of 39 are held out", len(held))
	}
}

func TestPromptsHaveTheirCursorInTheFile(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "\tvalue%d := compute(%d)\n// a comment that is longer than that\n\n", i, i)
	}
	d := retrieval.Document{Path: "a/b.go", Text: []byte(text.String())}
	bodies, err := prompts([]retrieval.Document{d, {Path: "short.go", Text: []byte("package short\n")}}, "arn", 5)
	if err != nil || len(bodies) != 5 {
		t.Fatalf("%d prompts, %v", len(bodies), err)
	}
	seen := map[string]bool{}
	for _, b := range bodies {
		var in completionsRequest
		if err := json.Unmarshal(b, &in); err != nil {
			t.Fatal(err)
		}
		c := in.FileContext
		if !strings.Contains(text.String(), c.Left+c.Right) || len(c.Left) > 10_000 || len(c.Right) > 2_000 {
			t.Errorf("not a place in the file: %q | %q", c.Left, c.Right)
		}
		if line := c.Left[strings.LastIndexByte(c.Left, '\n')+1:]; !strings.HasPrefix(line, "\tvalue") {
			t.Errorf("the cursor is behind %q", line)
		}
		if in.ARN != "arn" || in.MaxTokens != maxTokens || c.Filename != "a/b.go" || c.Language.Name != "go" || seen[c.Left] {
			t.Errorf("%+v", in)
		}
		seen[c.Left] = true
	}
}

// standIn answers as told; with locked set it wants a signature.
func standIn(t *testing.T, locked bool, answer func(r *http.Request) string) *side {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if locked && r.Header.Get("Authorization") == "" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		w.Header().Set("Server-Timing", "decode;dur=1, query;dur=2, complete;dur=3")
		fmt.Fprint(w, answer(r))
	}))
	t.Cleanup(srv.Close)
	u := user{Key: "AKIAIOSFODNN7EXAMPLE", Secret: "secret"}
	return &side{name: "stand-in", base: srv.URL, http: u.signed("codewhisperer"), bodies: [][]byte{[]byte(`{"n":1}`), []byte(`{"n":2}`)}, parts: map[string][]float64{}}
}

const oneToken = `{"completions":[{"content":"x","confidence":1,"tokens":[{"text":"x"}]}]}`

func always(s string) func(*http.Request) string { return func(*http.Request) string { return s } }

func TestAlikeRefuses(t *testing.T) {
	t.Parallel()
	indexed := []retrieval.Document{{Path: "a.go"}}
	both := func(completion, ranking string) func(*http.Request) string {
		return func(r *http.Request) string {
			if r.URL.Path == "/GetRetrievals" {
				return ranking
			}
			return completion
		}
	}
	for name, c := range map[string]struct {
		locked      bool
		ours, plain func(*http.Request) string
	}{
		"ours is open":       {false, always(oneToken), always(oneToken)},
		"another completion": {true, both(oneToken, "{}"), both(strings.Replace(oneToken, `"x"`, `"y"`, 1), "{}")},
		"another confidence": {true, both(oneToken, "{}"), both(strings.Replace(oneToken, `1`, `0.9`, 1), "{}")},
		"another ranking":    {true, both(oneToken, `{"results":[1,2]}`), both(oneToken, `{"results":[2,1]}`)},
		"no completion":      {true, always(`{"completions":[]}`), always(`{"completions":[]}`)},
	} {
		ours, plain := standIn(t, c.locked, c.ours), standIn(t, false, c.plain)
		if _, err := alike(t.Context(), ours, plain, ours.bodies, indexed); !errors.Is(err, errAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ours, plain := standIn(t, true, always(oneToken)), standIn(t, false, always(oneToken+"\n"))
	if _, err := alike(t.Context(), ours, plain, nil, indexed); !errors.Is(err, errComparison) {
		t.Errorf("no prompts: %v", err)
	}
	if n, err := alike(t.Context(), ours, plain, ours.bodies, indexed); err != nil || n != 1 || len(ours.want) != 2 {
		t.Errorf("%v tokens, %v", n, err)
	}
}

func TestEveryTimedAnswerIsChecked(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := standIn(t, true, func(*http.Request) string {
		if asked.Add(1) == 6 {
			return `{"completions":[]}`
		}
		return oneToken
	})
	s.want = [][]byte{[]byte(oneToken), []byte(oneToken)}
	if err := s.one(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.latency) != 2 || len(s.parts["retrieve"]) != 2 || s.parts["retrieve"][0] != 2 {
		t.Errorf("measured %v, %v", s.latency, s.parts)
	}
	// Requests 3 to 5 are right, the sixth is not.
	if err := s.many(t.Context(), 2, 4); !errors.Is(err, errAnswer) {
		t.Errorf("a wrong answer was timed: %v", err)
	}
	s.throughput = nil
	asked.Store(100)
	if err := s.many(t.Context(), 8, 10); err != nil || len(s.throughput) != 1 || !(s.throughput[0] > 0) {
		t.Errorf("%v, %v", s.throughput, err)
	}
	if n := asked.Load(); n != 120 {
		t.Errorf("%d requests, want 20", n-100)
	}
}

// TestRequest measures the real service, little.
func TestRequest(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and starts the example service")
	}
	t.Parallel()
	rep, err := measureRequest(t.Context(), plan{[]string{"os", "strings"}, 1, 2, 1})
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]string{}
	for _, r := range rep.rows {
		units[r.Name] = r.Unit
	}
	want := map[string]string{"latency p50, 1 client": "ms", "latency p99, 1 client": "ms", "part: admit": "ms",
		"part: retrieve": "ms", "part: complete": "ms", "throughput, 8 clients": "requests/s"}
	if !reflect.DeepEqual(units, want) || len(rep.charts) != 2 {
		t.Errorf("rows are %v, %d charts", units, len(rep.charts))
	}
	if strings.Contains(rep.intro, "%!") || strings.Contains(rep.intro, os.TempDir()) {
		t.Error(rep.intro)
	}
}
