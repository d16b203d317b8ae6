package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloisterdev/cloister/retrieval"
)

const requestIntro = "Ours is `examples/customization` as it is run, driven through its ports: a signed request, front end, identity firewall, " +
	"sealed snapshot opened and searched on disk, lease, completion in a confined slot pinned to one core, in three processes. " +
	"The peer is one process without any of it: JSON behind `net/http`, the same index in memory, the same `ngram` model called directly. " +
	"Both have the same corpus (%d files, %.1f MB of Go's standard library) and get the same %d prompts from files kept out of it; " +
	"every answer, in tokens (%.1f at the mean), sources and confidence, was the same on both sides, before and while it was timed. " +
	"A client waits for its answer before it asks again. One customization has one slot, which completes one prompt at a time; the peer uses every core. " +
	"Parts are medians of what the sides report for one client: *admit* is the signature's form, the firewall (verify, authorize, session and key) and decoding, against decoding alone; " +
	"*retrieve* is opening the snapshot and the query; *complete* is the lease and the tokens. What is left of the whole is HTTP and, for ours, the client's signature."

// plan is how much is measured.
type plan struct {
	folders        []string
	perFile        int // prompts a held-out file
	rounds, passes int // passes over the prompts in a turn of 8 clients
}

var (
	fullPlan  = plan{[]string{"net", "crypto/tls", "crypto/x509", "os", "database"}, 8, 21, 3}
	quickPlan = plan{[]string{"net/http", "os"}, 3, 3, 1}
)

func benchRequest(ctx context.Context, quick bool) (report, error) {
	if quick {
		return measureRequest(ctx, quickPlan)
	}
	return measureRequest(ctx, fullPlan)
}

func measureRequest(ctx context.Context, p plan) (rep report, err error) {
	docs, err := corpus(ctx, p.folders)
	if err != nil {
		return rep, err
	}
	dir, err := os.MkdirTemp("", "cloister-bench-")
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := startService(ctx, dir)
	if err != nil {
		return rep, err
	}
	defer s.stop()
	dev, arn, err := s.customize(ctx, docs)
	if err != nil {
		return rep, err
	}
	indexed, held := heldOut(docs)
	plainURL, stop, err := startPeer(ctx, indexed)
	if err != nil {
		return rep, err
	}
	defer stop()
	bodies, err := prompts(held, arn, p.perFile)
	if err != nil {
		return rep, err
	}
	ours := &side{name: "every layer", base: s.api, http: dev.signed("codewhisperer"), bodies: bodies, parts: map[string][]float64{}}
	plain := &side{name: "no layer", base: plainURL, http: &http.Client{Timeout: time.Minute, Transport: manyConnections()}, bodies: bodies, parts: map[string][]float64{}}
	tokens, err := alike(ctx, ours, plain, bodies, indexed)
	if err != nil {
		return rep, fmt.Errorf("%w\n%s", err, s.log)
	}
	var size int
	for _, d := range indexed {
		size += len(d.Text)
	}
	rep.intro = fmt.Sprintf(requestIntro, len(indexed), float64(size)/1e6, len(bodies), tokens)
	err = timeSides(ctx, &rep, p, []*side{ours, plain})
	return rep, err
}

// side is one of the two services with what was measured of it.
type side struct {
	name, base string
	http       *http.Client
	bodies     [][]byte // the prompts
	want       [][]byte // the checked answer to each

	latency    []float64            // ms, one client
	parts      map[string][]float64 // ms, one client
	throughput []float64            // requests/s, a turn each
}

// errAnswer is returned when a side does not answer as it must.
var errAnswer = errors.New("a wrong answer")

// alike asks both sides everything once. It returns the mean number of tokens.
func alike(ctx context.Context, ours, plain *side, bodies [][]byte, indexed []retrieval.Document) (float64, error) {
	if err := refusesUnsigned(ctx, ours, bodies); err != nil {
		return 0, err
	}
	var tokens int
	for i, body := range bodies {
		a, err := ours.ask(ctx, "GenerateCompletions", body)
		if err != nil {
			return 0, err
		}
		b, err := plain.ask(ctx, "GenerateCompletions", body)
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(a, b) {
			return 0, fmt.Errorf("%w: prompt %d has two:\n%s\n%s", errAnswer, i, a, b)
		}
		var got completionsResponse
		if err := json.Unmarshal(a, &got); err != nil {
			return 0, err
		}
		for _, c := range got.Completions {
			tokens += len(c.Tokens)
		}
		ours.want, plain.want = append(ours.want, a), append(plain.want, b)
	}
	if tokens == 0 {
		return 0, fmt.Errorf("%w: no prompt was completed", errAnswer)
	}
	// Completions see three hits; searches by path see the ranking further down.
	var arn completionsRequest
	if err := json.Unmarshal(bodies[0], &arn); err != nil {
		return 0, err
	}
	for i := 0; i < len(indexed); i += max(1, len(indexed)/25) {
		body, err := json.Marshal(retrievalsRequest{arn.ARN, strings.ReplaceAll(indexed[i].Path, "/", " "), 20})
		if err != nil {
			return 0, err
		}
		a, err := ours.ask(ctx, "GetRetrievals", body)
		if err != nil {
			return 0, err
		}
		b, err := plain.ask(ctx, "GetRetrievals", body)
		if err != nil {
			return 0, err
		}
		if !bytes.Equal(a, b) {
			return 0, fmt.Errorf("%w: two rankings for %s:\n%s\n%s", errAnswer, body, a, b)
		}
	}
	return float64(tokens) / float64(len(bodies)), nil
}

// refusesUnsigned sees that ours has its layers on: without a signature the
// same request is refused.
func refusesUnsigned(ctx context.Context, ours *side, bodies [][]byte) error {
	if len(bodies) == 0 {
		return fmt.Errorf("%w: there are no prompts", errComparison)
	}
	if _, _, err := post(ctx, http.DefaultClient, ours.base+"/GenerateCompletions", bodies[0]); err == nil {
		return fmt.Errorf("%w: the service answered a request without a signature", errAnswer)
	}
	return nil
}

func (s *side) ask(ctx context.Context, op string, body []byte) ([]byte, error) {
	b, _, err := post(ctx, s.http, s.base+"/"+op, body)
	return bytes.TrimSpace(b), err
}

// timeSides lets the sides take turns, with one client and with eight.
func timeSides(ctx context.Context, rep *report, p plan, sides []*side) error {
	const many = 8
	if err := turns(ctx, len(sides), p.rounds, func(i int) error { return sides[i].one(ctx) }); err != nil {
		return err
	}
	if err := turns(ctx, len(sides), p.rounds, func(i int) error { return sides[i].many(ctx, many, p.passes) }); err != nil {
		return err
	}
	add := func(name, unit string, value func(*side) float64) error {
		r, err := newRow(name, unit, sides[0].name, value(sides[0]), sides[1].name, value(sides[1]))
		rep.rows = append(rep.rows, r)
		return err
	}
	at := func(q float64) func(*side) float64 { return func(s *side) float64 { return quantile(s.latency, q) } }
	part := func(name string) func(*side) float64 { return func(s *side) float64 { return median(s.parts[name]) } }
	err := errors.Join(
		add("latency p50, 1 client", "ms", at(0.5)),
		add("latency p99, 1 client", "ms", at(0.99)),
		add("part: admit", "ms", part("admit")),
		add("part: retrieve", "ms", part("retrieve")),
		add("part: complete", "ms", part("complete")),
		add(fmt.Sprintf("throughput, %d clients", many), "requests/s", func(s *side) float64 { return median(s.throughput) }),
	)
	last := len(rep.rows) - 1
	rep.charts = []chart{
		{"latency", "One completion, ms, less is better", rep.rows[:last]},
		{"throughput", "Completions, more is better", rep.rows[last:]},
	}
	return err
}

// one asks every prompt once, one after another.
func (s *side) one(ctx context.Context) error {
	return s.each(ctx, 1, 1, func(d time.Duration, h http.Header) error {
		s.latency = append(s.latency, d.Seconds()*1e3)
		sum, err := parts(h.Get("Server-Timing"))
		for k, v := range sum {
			s.parts[k] = append(s.parts[k], v)
		}
		return err
	})
}

func (s *side) many(ctx context.Context, clients, passes int) error {
	start := time.Now()
	err := s.each(ctx, clients, passes, func(time.Duration, http.Header) error { return nil })
	s.throughput = append(s.throughput, float64(passes*len(s.bodies))/time.Since(start).Seconds())
	return err
}

// each asks every prompt so many times, from clients that share them out.
// Answers other than the checked ones are errors.
func (s *side) each(ctx context.Context, clients, passes int, f func(time.Duration, http.Header) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for c := range clients {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= passes*len(s.bodies) || errs[c] != nil {
					return
				}
				start := time.Now()
				b, h, err := post(ctx, s.http, s.base+"/GenerateCompletions", s.bodies[i%len(s.bodies)])
				took := time.Since(start)
				if err == nil && !bytes.Equal(bytes.TrimSpace(b), s.want[i%len(s.bodies)]) {
					err = fmt.Errorf("%w: another than before", errAnswer)
				}
				if err == nil {
					err = f(took, h)
				}
				if err != nil {
					errs[c] = fmt.Errorf("%s: %w", s.name, err)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// partOf says where a step that a side reports belongs.
var partOf = map[string]string{
	"capture": "admit", "firewall": "admit", "decode": "admit",
	"open": "retrieve", "query": "retrieve",
	"lease": "complete", "complete": "complete",
	"encode": "encode",
}

// parts sums the milliseconds of a Server-Timing header by part. A name with a
// dot is inside of another step and does not count twice.
func parts(header string) (map[string]float64, error) {
	out := map[string]float64{}
	for f := range strings.SplitSeq(header, ", ") {
		name, ms, ok := strings.Cut(f, ";dur=")
		if strings.Contains(name, ".") {
			continue
		}
		v, err := strconv.ParseFloat(ms, 64)
		if !ok || err != nil || partOf[name] == "" || !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%w: Server-Timing %q", errMeasurement, header)
		}
		out[partOf[name]] += v
	}
	return out, nil
}
