package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary be each process that is measured, as the program is,
// and adds a suite that costs nothing and one that must not run.
func TestMain(m *testing.M) {
	if played, err := play(os.Args, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	} else if played {
		return
	}
	suites["fake"] = func(context.Context, bool) (report, error) { return fakeReport(), nil }
	suites["unplaced"] = func(context.Context, bool) (report, error) { return report{}, errRan }
	suites["broken"] = suites["unplaced"]
	os.Exit(m.Run())
}

var errRan = errors.New("the suite ran")

func fakeReport() report {
	rows := []row{
		{"seal | open", "ours", "peer <1>", 3, 4, "MB/s", 0.75},
		{"seal | open", "ours", "peer 2", 3, 0.5, "MB/s", 6},
		{"open", "ours", "peer <1>", 30, 20, "ns", 1.5},
	}
	return report{intro: "What was compared.", rows: rows, charts: []chart{{"one", "Title & more", rows}}}
}

const page = "# Benchmarks\n\nKept by hand.\n\n<!-- bench fake -->\nold\n<!-- /bench fake -->\n\n" +
	"<!-- bench broken -->\nkept\n<!-- /bench broken -->\n\nThe end, without a newline"

func writePage(t *testing.T) (doc string) {
	t.Helper()
	doc = t.TempDir()
	if err := os.WriteFile(filepath.Join(doc, "benchmarks.md"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	return doc
}

func readPage(t *testing.T, doc string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(doc, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"nothing":          nil,
		"flags only":       {"--quick", "--json"},
		"unknown package":  {"authz"},
		"two packages":     {"fake", "fake"},
		"unknown flag":     {"fake", "--fast"},
		"flag has a value": {"fake", "--quick=perhaps"},
		"flag has none":    {"fake", "--doc"},
		"internal role":    {peerRole, "more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := run(t.Context(), args, &out)
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), usage) {
				t.Errorf("got %v, want the usage", err)
			}
			if out.Len() > 0 {
				t.Errorf("printed %q", &out)
			}
		})
	}
	for _, args := range [][]string{{"--help"}, {"fake", "-h"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out); err != nil || out.String() != usage {
			t.Errorf("%v: got %v and %q", args, err, &out)
		}
	}
	for _, words := range []string{"--quick", "--json", "--doc", "kmsctx", "request", strings.Join(columns, ", ")} {
		// The columns are listed over two lines.
		if !strings.Contains(strings.ReplaceAll(usage, "\n", " "), words) {
			t.Errorf("the help does not say %q", words)
		}
	}
}

func TestQuickLeavesThePageAlone(t *testing.T) {
	t.Parallel()
	doc := writePage(t)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--quick", "fake", "--doc", doc}, &out); err != nil {
		t.Fatal(err)
	}
	if got := readPage(t, doc); got != page {
		t.Errorf("the page changed:\n%s", got)
	}
	if entries, err := os.ReadDir(doc); err != nil || len(entries) != 1 {
		t.Errorf("something was written beside the page: %v %v", entries, err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 || !slices.Equal(strings.Fields(lines[0]), columns) {
		t.Errorf("printed\n%s", &out)
	}
}

func TestRunWritesItsSectionOnly(t *testing.T) {
	t.Parallel()
	doc := writePage(t)
	if err := run(t.Context(), []string{"fake", "--json", "--doc", doc}, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	got := readPage(t, doc)
	before, rest, _ := strings.Cut(page, "old\n")
	if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, rest) {
		t.Errorf("text outside of the section changed:\n%s", got)
	}
	for _, want := range []string{"What was compared.", "![Title & more](plots/fake-one.svg)",
		`| seal \| open | ours | peer <1> | 3.00 | 4.00 | MB/s | 0.75 |`, "`go -C bench run . fake`"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "old\n") || strings.Contains(got, doc) {
		t.Errorf("the page has the old text, or a path of this machine:\n%s", got)
	}
	svg, err := os.ReadFile(filepath.Join(doc, "plots", "fake-one.svg"))
	if err != nil || string(svg) != fakeReport().charts[0].svg() {
		t.Errorf("the plot is not the chart: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(doc, "*.tmp")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestRunFindsThePlaceBeforeItMeasures(t *testing.T) {
	t.Parallel()
	doc := writePage(t)
	if err := run(t.Context(), []string{"unplaced", "--doc", doc}, &bytes.Buffer{}); !errors.Is(err, errMarkers) {
		t.Errorf("without a section: %v", err)
	}
	if err := run(t.Context(), []string{"fake", "--doc", filepath.Join(doc, "none")}, &bytes.Buffer{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a page: %v", err)
	}
	if err := run(t.Context(), []string{"broken", "--doc", doc}, &bytes.Buffer{}); !errors.Is(err, errRan) {
		t.Errorf("with a section: %v", err)
	}
	if got := readPage(t, doc); got != page {
		t.Errorf("a suite that failed changed the page:\n%s", got)
	}
}

func TestJSONHasTheSevenFields(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"kmsctx", "--quick", "--json"}, &out); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(out.Bytes()))
	n := 0
	for ; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, raw); !slices.Equal(got, columns) {
			t.Errorf("fields are %q, want %q", got, columns)
		}
		var r row
		if err := json.Unmarshal(raw, &r); err != nil || r.Ratio != r.OursV/r.PeerV || r.Name == "" || r.Ours == r.Peer || r.Unit == "" {
			t.Errorf("%s: %v", raw, err)
		}
	}
	// Four of messages against five peers, and random access against three.
	if n < 4*5+3 || strings.Count(out.String(), "\n") != n {
		t.Errorf("%d rows in\n%s", n, &out)
	}
}

// keys are the keys of an object in their order.
func keys(t *testing.T, raw []byte) (out []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k.(string))
		if _, err := d.Token(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestPageHasEverySection looks at the page that is committed.
func TestPageHasEverySection(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "doc", "benchmarks.md")
	for _, name := range []string{"kmsctx", "request"} {
		if _, err := updated(file, name, "x"); err != nil {
			t.Error(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	home, _ := os.UserHomeDir()
	wd, _ := os.Getwd()
	for _, path := range []string{home + "/", filepath.Dir(wd), os.TempDir() + "/"} {
		if path != "/" && bytes.Contains(b, []byte(path)) {
			t.Errorf("the page has a path of this machine: %s", path)
		}
	}
}
