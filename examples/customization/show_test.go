package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
)

func TestBarKeepsItsWidth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to float64 }{{0, 0}, {0, 1}, {0.5, 0.5}, {0.999, 1}, {1, 1}, {0.3, 0.31}, {0, 5}, {-1, 0.5}} {
		if n := utf8.RuneCountInString(bar(c.from, c.to, barWidth)); n != barWidth {
			t.Errorf("bar from %v to %v has %d characters", c.from, c.to, n)
		}
	}
	if got := bar(0, 0.5, 4); got != "██  " {
		t.Errorf("half a bar is %q", got)
	}
}

// A header is what a service sent: any of it may be missing or odd.
func TestWaterfallOfOddHeaders(t *testing.T) {
	t.Parallel()
	for _, h := range []string{"", ",", "a", "a;dur=", "a;dur=x", ".;dur=1", "a.b;dur=1", "x;dur=1, a.b;dur=1", "a;dur=1, b.c;dur=-9", "a;dur=NaN", strings.Repeat("a;dur=1, ", 100)} {
		if got := waterfall(h, time.Millisecond); !strings.Contains(got, "network, client") {
			t.Errorf("%q: %q", h, got)
		}
	}
	got := waterfall("capture;dur=1.000, firewall;dur=2.000, firewall.verify;dur=0.500", 4*time.Millisecond)
	lines := strings.Split(got, "\n")
	begins := func(i int) int { return strings.IndexAny(lines[i], "█▏") }
	if len(lines) != 4 || begins(2) != begins(1) || begins(1) <= begins(0) || begins(3) <= begins(1) {
		t.Errorf("a part begins with its whole, steps follow one another:\n%s", got)
	}
}

func TestProgressIsHarmless(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	i := &ingestion{p: &printer{out: &out}}
	i.show(nil)
	i.show(&api.Progress{StepProgress: api.StepProgress{Step: "fetch", Files: 1, TotalFiles: 2, Bytes: 5, TotalBytes: 1}, Percent: 500, ETASeconds: -1})
	if out.Len() != 0 {
		t.Errorf("a running step was drawn into something that is no terminal: %q", out.String())
	}
	done := []api.StepProgress{{Step: "queued"}, {Step: "fetch", Files: 2, TotalFiles: 2, Bytes: 10, TotalBytes: 10, Seconds: 1}}
	i.show(&api.Progress{StepProgress: api.StepProgress{Step: "index"}, Done: done})
	i.show(&api.Progress{StepProgress: api.StepProgress{Step: "ended"}, Done: done})
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "2/2 files") {
		t.Errorf("%d lines: %q", n, out.String())
	}
}

func TestTenantsTextDoesNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	hostile := "x\x1b]0;owned\a\r\n\u202e\x00"
	var out bytes.Buffer
	p := &printer{out: &out}
	p.completion("acme", completionEvent{File: hostile, Want: hostile, Customized: hostile, Generic: hostile, Retrieved: []definition{{File: hostile, Text: hostile}}})
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && r < ' ' || r == '\u202e' || r == 0x7f }); i >= 0 {
		t.Errorf("%q", out.String()[i:])
	}
	if !strings.Contains(out.String(), "owned") {
		t.Error("the text itself is gone")
	}
}
