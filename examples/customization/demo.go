package main

import (
	"context"
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
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	var may workloads
	if err := may.Set("gallery=" + exe); err != nil {
		return err
	}
	cfg := stack.Config{Dir: dir, Args: append([]string{"--min-tier", *tier, "--origin", demoOrigin, "--private-issuers"}, may.args()...)}
	if *verbose {
		cfg.Log = os.Stderr
	}
	st, err := stack.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer st.Stop()
	shown := map[int]bool{}
	if err := p.processes(st.Processes(), shown); err != nil {
		return err
	}
	var sum summary
	if err := prepare(ctx, p, st, two); err != nil {
		return err
	}
	var lat []int64
	if err := complete(ctx, p, two, &sum, &lat); err != nil {
		return err
	}
	p.say("")
	if err := p.processes(st.Processes(), shown); err != nil {
		return err
	}
	p.say("")
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
		steps := &ingestion{p: p}
		// Names are what tenants like to type: markup and terminal escapes.
		name := []string{"<script>alert(1)</script>", "\x1b[31mred\x1b[0m"}[i]
		err := s.customize(ctx, name, func(g *api.GetCustomizationResponse) { steps.show(g.Progress) })
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
	// Retrieved are the definitions found for the lines before the cursor.
	Retrieved []definition `json:"retrieved"`
}

// definition is where a retrieved chunk lies and how it begins.
type definition struct {
	File  string `json:"file"`
	Start int    `json:"start_line"`
	End   int    `json:"end_line"`
	Text  string `json:"text"`
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
				ev := completionEvent{Tenant: s.admin.User.Tenant.String(), File: pos.Path, Line: pos.Line, Want: pos.Want,
					Customized: firstLine(got), Generic: g, Latency: d.Microseconds()}
				if ev.Customized != ev.Want || ev.Generic == ev.Want || shown == 3 {
					continue
				}
				shown++
				hits, err := s.retrieve(ctx, pos)
				if err != nil {
					return fmt.Errorf("%s: retrieval: %w", s.name, err)
				}
				for _, h := range hits {
					if !s.owns(h.Filepath) {
						sum.ForeignHits++
					}
					ev.Retrieved = append(ev.Retrieved, definition{h.Filepath, h.StartLine, h.EndLine, signature(h.Content)})
				}
				p.completion(s.name, ev)
				if shown == 1 {
					p.say("\n%s", waterfall(header, d))
				}
				if err := p.event("completion", ev); err != nil {
					return err
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

// retrieve asks for the definitions that the lines before the cursor speak of.
func (s *side) retrieve(ctx context.Context, pos work.Position) ([]api.Retrieval, error) {
	lines := strings.Split(pos.Prefix, "\n")
	query := strings.TrimSpace(strings.Join(lines[max(0, len(lines)-4):], "\n"))
	var out api.GetRetrievalsResponse
	_, err := s.dev.Call(ctx, "GetRetrievals", map[string]any{"customizationArn": s.arn, "query": query[max(0, len(query)-2000):], "maxResults": 3}, &out)
	return out.Retrievals["results"], err
}

// signature is the line of a chunk that says what it is.
func signature(text string) string {
	first := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || strings.HasPrefix(l, "//") || strings.HasPrefix(l, "*") || strings.HasPrefix(l, "/*"):
		case strings.HasPrefix(l, "func ") || strings.HasPrefix(l, "type "):
			return l
		case first == "":
			first = l
		}
	}
	return first
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

// owns reports whether a document is one that the tenant uploaded.
func (s *side) owns(doc string) bool { return s.own[doc] }
