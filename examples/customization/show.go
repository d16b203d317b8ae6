package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
)

// printer writes what a person reads, or one JSON object a line.
type printer struct {
	out  io.Writer
	json bool
}

func (p *printer) say(format string, a ...any) {
	if !p.json {
		fmt.Fprintf(p.out, format+"\n", a...)
	}
}

func (p *printer) event(name string, v any) error {
	if !p.json {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "{\"event\":%q,%s\n", name, b[1:])
	return err
}

// processes shows those that were not shown before.
func (p *printer) processes(ps []stack.Process, seen map[int]bool) error {
	var fresh []stack.Process
	for _, proc := range ps {
		if !seen[proc.PID] {
			seen[proc.PID] = true
			fresh = append(fresh, proc)
			if err := p.event("process", proc); err != nil {
				return err
			}
		}
	}
	if !p.json {
		printProcesses(p.out, fresh)
	}
	return nil
}

func printProcesses(out io.Writer, ps []stack.Process) {
	last := ""
	for _, p := range ps {
		fmt.Fprintf(out, "%-26s pid %-8d %s\n", p.Role, p.PID, p.Tier)
		if p.Role != last {
			fmt.Fprintf(out, "  holds   %s\n  cannot  %s\n", p.Holds, p.Cannot)
		}
		last = p.Role
	}
}

const barWidth = 24

// bar is a bar of which a share is full, in eighths of a character.
func bar(from, to float64, width int) string {
	const eighths = " ▏▎▍▌▋▊▉█"
	a, z := int(from*float64(width)), int(to*float64(width)*8)
	var b strings.Builder
	for i := range width {
		switch n := z - i*8; {
		case i < a || n <= 0:
			b.WriteByte(' ')
		case n >= 8:
			b.WriteRune('█')
		default:
			b.WriteRune([]rune(eighths)[n])
		}
	}
	if s := b.String(); strings.TrimSpace(s) != "" || a >= width {
		return s
	}
	// What took no time to speak of still has its place.
	return strings.Repeat(" ", a) + "▏" + strings.Repeat(" ", width-a-1)
}

// ingestion shows steps of an ingestion: each step that ended on a line of its
// own, and on a terminal the running one as well.
type ingestion struct {
	p     *printer
	shown int
}

func (i *ingestion) show(g *api.Progress) {
	if i.p.json || g == nil {
		return
	}
	live := isTerminal(i.p.out)
	for ; i.shown < len(g.Done); i.shown++ {
		i.line(g.Done[i.shown], 1, fmt.Sprintf("%.2f s", g.Done[i.shown].Seconds), live, "\n")
	}
	if live && g.Step != "ended" {
		i.line(g.StepProgress, float64(g.Percent)/100, fmt.Sprintf("ETA %.1f s", g.ETASeconds), live, "")
	}
}

func (i *ingestion) line(s api.StepProgress, done float64, clock string, live bool, end string) {
	if s.TotalFiles == 0 {
		return // it was only waiting
	}
	start := ""
	if live {
		start = "\r\x1b[K"
	}
	chunks := ""
	if s.Chunks > 0 {
		chunks = fmt.Sprintf("  %d chunks", s.Chunks)
	}
	fmt.Fprintf(i.p.out, "%s  %-8s |%s| %3.0f %%  %d/%d files  %.1f/%.1f MB%s  %s%s", start, s.Step, bar(0, done, barWidth), 100*done,
		s.Files, s.TotalFiles, float64(s.Bytes)/1e6, float64(s.TotalBytes)/1e6, chunks, clock, end)
}

// isTerminal reports whether lines can be drawn over.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
}

// completion shows a true line beside the two answers, and what was retrieved.
func (p *printer) completion(who string, e completionEvent) {
	p.say("\n%s %s:%d  %.1f ms\n  true        %s\n  customized  %s\n  generic     %s", who, printable(e.File), e.Line, float64(e.Latency)/1000,
		printable(e.Want), printable(e.Customized), printable(e.Generic))
	for i, d := range e.Retrieved {
		title := "retrieved"
		if i > 0 {
			title = ""
		}
		p.say("  %-10s  %s:%d-%d  %.90s", title, printable(d.File), d.Start, d.End, printable(d.Text))
	}
}

// printable keeps code that a tenant wrote from speaking to the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// waterfall draws the spans of one answer, as its Server-Timing header has
// them, and what the network and the client took besides.
func waterfall(header string, total time.Duration) string {
	type span struct {
		name       string
		start, dur float64 // milliseconds
	}
	var spans []span
	at, inner := 0.0, 0.0
	for _, f := range strings.Split(header, ", ") {
		name, d, ok := strings.Cut(f, ";dur=")
		dur, err := strconv.ParseFloat(d, 64)
		if !ok || err != nil {
			continue
		}
		if whole, part, isPart := strings.Cut(name, "."); isPart && len(spans) > 0 {
			// Parts follow their whole, and begin when it began. The rest of
			// the whole is the way there and back.
			if last := spans[len(spans)-1]; last.name == whole {
				inner = last.start
			}
			spans = append(spans, span{"  " + part, inner, dur})
			inner += dur
			continue
		}
		spans = append(spans, span{name, at, dur})
		at += dur
	}
	ms := max(float64(total.Microseconds())/1000, at)
	spans = append(spans, span{"network, client", at, ms - at})
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "  %-16s |%s| %6.3f ms\n", s.name, bar(s.start/ms, (s.start+s.dur)/ms, 2*barWidth), s.dur)
	}
	return strings.TrimRight(b.String(), "\n")
}
