package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
)

type sourceList []string

// String implements flag.Value.
func (s *sourceList) String() string { return strings.Join(*s, ",") }

// Set implements flag.Value.
func (s *sourceList) Set(v string) error { *s = append(*s, v); return nil }

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

type summary struct {
	Refusals       int     `json:"refusals"`
	Refused        int     `json:"refused"`
	Controls       int     `json:"controls"`
	ControlsPassed int     `json:"controls_passed"`
	ForeignHits    int     `json:"foreign_hits"`
	AuditVerified  bool    `json:"audit_verified"`
	Elapsed        float64 `json:"elapsed_s"`
	P50            int64   `json:"p50_us"`
	P99            int64   `json:"p99_us"`
}

func runDemo(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "one JSON object a line")
	keep := fs.String("keep", "", "keep the data in this directory")
	tier := fs.String("min-tier", "confined", "weakest sandbox accepted: namespaced, confined or process")
	verbose := fs.Bool("v", false, "show the processes' log")
	var sources sourceList
	fs.Var(&sources, "source", "folder with a tenant's code; give it twice")
	if err := fs.Parse(args); err != nil {
		return err
	}
	start := time.Now()
	p := &printer{out, *asJSON}
	dir := *keep
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "cloister-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	two, err := sides(sources)
	if err != nil {
		return err
	}
	cfg := stack.Config{Dir: dir, Args: []string{"--min-tier", *tier}}
	if *verbose {
		cfg.Log = os.Stderr
	}
	st, err := stack.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Stop()
	if !p.json {
		printProcesses(out, st.Processes())
	}
	for _, proc := range st.Processes() {
		if err := p.event("process", proc); err != nil {
			return err
		}
	}
	var sum summary
	if err := prepare(ctx, p, st, two); err != nil {
		return err
	}
	var lat []int64
	if err := complete(ctx, p, two, &sum, &lat); err != nil {
		return err
	}
	g := &gallery{p: p, st: st, a: two[0], b: two[1], sum: &sum, tier: *tier}
	if err := g.run(ctx); err != nil {
		return err
	}
	st.Stop()
	rep, err := audit.Verify(auditDir(dir), nil)
	sum.AuditVerified = err == nil
	if err != nil {
		p.say("audit: %v", err)
	}
	if err := g.auditAttacks(auditDir(dir)); err != nil {
		return err
	}
	slices.Sort(lat)
	if len(lat) > 0 {
		sum.P50, sum.P99 = lat[len(lat)/2], lat[len(lat)*99/100]
	}
	sum.Elapsed = time.Since(start).Seconds()
	p.say("\n%d attacks, %d refused; %d controls, %d passed; %d foreign hits; audit log of %d records verified: %v; completions p50 %.1f ms, p99 %.1f ms; %.0f s",
		sum.Refusals, sum.Refused, sum.Controls, sum.ControlsPassed, sum.ForeignHits, rep.Records, sum.AuditVerified, float64(sum.P50)/1000, float64(sum.P99)/1000, sum.Elapsed)
	p.say("\nNext:\n  go run ./examples/customization serve --data DIR\n  go run ./cmd/cloister audit verify DIR/audit")
	if err := p.event("summary", sum); err != nil {
		return err
	}
	if sum.Refused != sum.Refusals || sum.ControlsPassed != sum.Controls || sum.ForeignHits != 0 || !sum.AuditVerified {
		return errors.New("the demo found a defence that did not hold")
	}
	return nil
}

func prepare(ctx context.Context, p *printer, st *stack.Stack, two []*side) error {
	for i, s := range two {
		t := time.Now()
		if err := s.settle(ctx, st); err != nil {
			return fmt.Errorf("%s: upload: %w", s.name, err)
		}
		p.say("\n%s uploaded %d files, %.1f MB, signed with its own key (%.1f s)", s.name, s.files, float64(s.bytes)/1e6, time.Since(t).Seconds())
		t = time.Now()
		last := ""
		// Names are what tenants like to type: markup and terminal escapes.
		name := []string{"<script>alert(1)</script>", "\x1b[31mred\x1b[0m"}[i]
		err := s.customize(ctx, name, func(g *api.GetCustomizationResponse) {
			if g.Progress != nil && g.Progress.Step != last {
				last = g.Progress.Step
				p.say("  %-8s %5d files %6.1f MB", last, g.Progress.Files, float64(g.Progress.Bytes)/1e6)
			}
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		p.say("  customization active after %.1f s, score %.1f of 10", time.Since(t).Seconds(), s.score)
		if err := p.event("customization", map[string]any{"tenant": s.admin.User.Tenant, "arn": s.arn, "files": s.files, "bytes": s.bytes, "score": s.score}); err != nil {
			return err
		}
	}
	return nil
}

type completionEvent struct {
	Tenant     string `json:"tenant"`
	File       string `json:"file"`
	Line       int    `json:"line"`
	Want       string `json:"want"`
	Customized string `json:"customized"`
	Generic    string `json:"generic"`
	Latency    int64  `json:"latency_us"`
}

func complete(ctx context.Context, p *printer, two []*side, sum *summary, lat *[]int64) error {
	generic, err := work.Generic()
	if err != nil {
		return err
	}
	for _, s := range two {
		shown := 0
		for _, f := range s.kept {
			text, err := os.ReadFile(f.Path)
			if err != nil {
				return err
			}
			for _, pos := range work.Positions(f.Key, text, 4) {
				got, header, d, err := s.ask(ctx, pos)
				if err != nil {
					return fmt.Errorf("%s: completion: %w", s.name, err)
				}
				*lat = append(*lat, d.Microseconds())
				sum.ForeignHits += foreign(got, s)
				g, err := work.RestOfLine(ctx, generic, pos)
				if err != nil {
					return err
				}
				ev := completionEvent{s.admin.User.Tenant.String(), pos.Path, pos.Line, pos.Want, firstLine(got), g, d.Microseconds()}
				if ev.Customized == ev.Want && ev.Generic != ev.Want && shown < 3 {
					shown++
					p.say("\n%s %s:%d  %.1f ms\n  true        %s\n  customized  %s\n  generic     %s", s.name, ev.File, ev.Line, float64(ev.Latency)/1000, ev.Want, ev.Customized, ev.Generic)
					if shown == 1 {
						p.say("  %s", strings.ReplaceAll(header, ", ", "\n  "))
					}
					if err := p.event("completion", ev); err != nil {
						return err
					}
				}
			}
			if len(*lat) > 400 {
				break
			}
		}
	}
	return nil
}

func (s *side) ask(ctx context.Context, pos work.Position) (api.GenerateCompletionsResponse, string, time.Duration, error) {
	var out api.GenerateCompletionsResponse
	in := map[string]any{"customizationArn": s.arn, "fileContext": map[string]any{
		"leftFileContent": cutLeft(pos.Prefix), "rightFileContent": cutRight(pos.Suffix), "filename": pos.Path, "programmingLanguage": map[string]string{"languageName": "go"}}}
	t := time.Now()
	h, err := s.dev.Call(ctx, "GenerateCompletions", in, &out)
	return out, h.Get("Server-Timing"), time.Since(t), err
}

func cutLeft(s string) string  { return s[max(0, len(s)-10_000):] }
func cutRight(s string) string { return s[:min(len(s), 2_000)] }

func firstLine(r api.GenerateCompletionsResponse) string {
	if len(r.Completions) == 0 {
		return ""
	}
	l, _, _ := strings.Cut(r.Completions[0].Content, "\n")
	return strings.TrimRight(l, " \t\r")
}

// foreign counts tokens that neither the request nor the tenant's own corpus
// supports.
func foreign(r api.GenerateCompletionsResponse, s *side) (n int) {
	for _, c := range r.Completions {
		for _, t := range c.Tokens {
			own := t.FromPrompt
			for _, pos := range t.Support {
				own = true
				if !s.owns(pos.Doc) {
					n++
				}
			}
			if !own {
				n++
			}
		}
	}
	return n
}

func (s *side) owns(doc string) bool {
	for _, sub := range s.sub {
		if sub == "." || strings.HasPrefix(doc, sub+"/") {
			return true
		}
	}
	return false
}
