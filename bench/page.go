package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// report is what a suite found.
type report struct {
	intro  string // what was compared, and what differs besides
	rows   []row
	charts []chart
	left   string // what was not measured, and why
}

// errMarkers is returned for a page without exactly one place for a section.
var errMarkers = errors.New("no place for the section")

// replaceSection puts body between the markers of a section and leaves
// everything else as it was.
func replaceSection(page, section, body string) (string, error) {
	begin, end := "<!-- bench "+section+" -->\n", "<!-- /bench "+section+" -->\n"
	if strings.Count(page, begin) != 1 || strings.Count(page, end) != 1 {
		return "", fmt.Errorf("%w: %q and %q must be there once each", errMarkers, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	from, to := strings.Index(page, begin)+len(begin), strings.Index(page, end)
	if to < from {
		return "", fmt.Errorf("%w: %q stands before its beginning", errMarkers, strings.TrimSpace(end))
	}
	if strings.Contains(body, "<!-- ") {
		return "", fmt.Errorf("%w: the text has a marker in it", errMarkers)
	}
	return page[:from] + body + page[to:], nil
}

func updated(file, section, body string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	s, err := replaceSection(string(b), section, body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// publish writes the plots first: a page never shows one that is not there.
func publish(doc, section string, r report) error {
	var body strings.Builder
	fmt.Fprintf(&body, "\n%s. `go -C bench run . %s`\n\n%s\n\n", machine(), section, r.intro)
	plots := filepath.Join(doc, "plots")
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	for _, c := range r.charts {
		name := section + "-" + c.file + ".svg"
		if err := replaceFile(filepath.Join(plots, name), c.svg()); err != nil {
			return err
		}
		fmt.Fprintf(&body, "![%s](plots/%s)\n\n", c.title, name)
	}
	body.WriteString(markdown(r.rows) + "\n")
	page := filepath.Join(doc, "benchmarks.md")
	text, err := updated(page, section, body.String())
	if err != nil {
		return err
	}
	return replaceFile(page, text)
}

func replaceFile(path, text string) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// machine says where the figures are from.
func machine() string {
	cpu := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				cpu = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, %s", cpu, runtime.NumCPU(), runtime.GOOS, strings.Replace(runtime.Version(), "go", "Go ", 1))
}
