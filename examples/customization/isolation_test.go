package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/front"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/tenant"
)

// collection is one of the many, with the one mark that its code carries.
type collection struct {
	owner *side
	mark  string
	arn   string
}

var markPattern = regexp.MustCompile(`Mark[0-9]{2}zq`)

// manyCollections makes tenants with collections, each with code that only it
// has. The developer of a tenant may use all of the tenant's.
func manyCollections(t *testing.T, st *stack.Stack, tenants, each int) (all []*collection) {
	t.Helper()
	ctx := testContext(t, 4*time.Minute)
	for i := range tenants {
		s := newSide(t, st, fmt.Sprintf("tenant-%d", i), corpus("Settle", 1))
		for k := range each {
			c := &collection{owner: s, mark: fmt.Sprintf("Mark%02dzq", i*each+k)}
			files := map[string]string{}
			for name, text := range corpus(c.mark, 6) {
				files[name] = text
			}
			c.arn = customizeFrom(ctx, t, st, s, fmt.Sprintf("c%d/", k), files)
			all = append(all, c)
		}
	}
	return all
}

// customizeFrom uploads files below a prefix and makes, activates and shares a
// customization of them.
func customizeFrom(ctx context.Context, t *testing.T, st *stack.Stack, s *side, below string, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	var up []client.File
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range files {
			if !yield(n) {
				return
			}
		}
	}) {
		p := root + "/" + fmt.Sprint(len(up)) + ".go"
		if err := os.WriteFile(p, []byte(files[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		up = append(up, client.File{Path: p, Key: name, Size: int64(len(files[name]))})
	}
	if err := client.Upload(ctx, client.S3(st.S3Addr(), s.admin.User), s.admin.User, below, up); err != nil {
		t.Fatal(err)
	}
	var made api.CreateCustomizationResponse
	if _, err := s.admin.Call(ctx, "CreateCustomization", map[string]any{"customizationName": "c", "clientToken": unique(),
		"dataReference": s.reference(s.admin.User.Bucket, below)}, &made); err != nil {
		t.Fatal(err)
	}
	if _, err := waitFor(ctx, s.admin, made.CustomizationARN, nil); err != nil {
		t.Fatal(err)
	}
	s.arn = made.CustomizationARN
	if err := s.activate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.admin.Call(ctx, "AssociateCustomizationPermission", map[string]any{"identifier": s.arn,
		"permission": map[string]string{"user": s.dev.User.User.String()}}, nil); err != nil {
		t.Fatal(err)
	}
	return s.arn
}

// queries is how many queries a run of TestNoForeignHits makes: the nightly run
// sets CLOISTER_QUERIES=1000000.
func queries(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("CLOISTER_QUERIES")); err == nil {
		return n
	}
	if testing.Short() {
		return 500
	}
	return 10_000
}

// TestNoForeignHits asks for every collection's words in every collection, as
// every tenant, through the public API. A hit with another collection's mark is
// a foreign hit; so is any answer to a tenant who does not own the collection.
func TestNoForeignHits(t *testing.T) {
	st, _ := startStack(t)
	all := manyCollections(t, st, 4, 5)
	ctx := testContext(t, 30*time.Minute)
	total := queries(t)
	var mu sync.Mutex
	foreign, own, refused := 0, 0, 0
	var wg sync.WaitGroup
	const workers = 4
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 7))
			for range total / workers {
				target, words, as := all[rnd.IntN(len(all))], all[rnd.IntN(len(all))], all[rnd.IntN(len(all))].owner
				if rnd.IntN(4) > 0 {
					as = target.owner
				}
				q := fmt.Sprintf("Lookup%s%d table%s missing %d", words.mark, rnd.IntN(6), target.mark, rnd.IntN(6))
				var text string
				var err error
				if rnd.IntN(50) == 0 {
					text, err = askCompletion(ctx, as.dev, target.arn, "func x() {\n\tv, ok := table"+words.mark+"[key]\n\treturn value + ")
				} else {
					text, err = askRetrieval(ctx, as.dev, target.arn, q)
				}
				var no *client.Failure
				if err != nil && !errors.As(err, &no) {
					t.Error(err)
					return
				}
				mu.Lock()
				switch {
				case err != nil && as != target.owner:
					refused++
				case err != nil:
					t.Errorf("the owner was refused: %v", err)
				case as != target.owner:
					foreign++
				default:
					for _, m := range markPattern.FindAllString(text, -1) {
						if m == target.mark {
							own++
						} else {
							foreign++
						}
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d queries on %d collections: %d own marks in hits, %d foreign tenants refused, %d foreign", total, len(all), own, refused, foreign)
	if foreign != 0 || own < total/4 || refused < total/20 {
		t.Fatalf("foreign %d, own %d, refused %d", foreign, own, refused)
	}
}

func askRetrieval(ctx context.Context, c *client.Client, arn, q string) (text string, err error) {
	var out api.GetRetrievalsResponse
	_, err = c.Call(ctx, "GetRetrievals", map[string]any{"customizationArn": arn, "query": q, "maxResults": 10, "nonce": unique()}, &out)
	for _, list := range out.Retrievals {
		for _, h := range list {
			text += h.Filepath + "\n" + h.Content + "\n"
		}
	}
	return text, err
}

// askCompletion returns the positions of the corpus that support the answer as
// well; tokens that only repeat the prompt are the caller's own words.
func askCompletion(ctx context.Context, c *client.Client, arn, left string) (text string, err error) {
	var out api.GenerateCompletionsResponse
	_, err = c.Call(ctx, "GenerateCompletions", map[string]any{"customizationArn": arn, "nonce": unique(),
		"fileContext": map[string]any{"leftFileContent": left, "rightFileContent": "", "filename": "x.go", "programmingLanguage": map[string]string{"languageName": "go"}}}, &out)
	for _, a := range out.Completions {
		for _, tok := range a.Tokens {
			if !tok.FromPrompt {
				text += tok.Text + "\n"
			}
		}
	}
	return text, err
}

// TestForeignAndMissingLookAlike asks every operation that names a
// customization for another tenant's and for one that never was. The answers
// are the same bytes, and their times cannot be told apart.
func TestForeignAndMissingLookAlike(t *testing.T) {
	st, _ := startStack(t)
	ctx := testContext(t, 5*time.Minute)
	victim := newSide(t, st, "victim", corpus("Settle", 1))
	arn := customizeFrom(ctx, t, st, victim, "v/", corpus("Mark00zq", 6))
	thief := newSide(t, st, "thief", corpus("Settle", 1))
	customizeFrom(ctx, t, st, thief, "t/", corpus("Mark01zq", 6))
	var none *front.Front
	for _, op := range none.Table() {
		if !op.OnTarget {
			continue
		}
		t.Run(op.Name, func(t *testing.T) {
			ask := func(arn string) (client.Answer, time.Duration) {
				body := map[string]any{"nonce": unique()}
				for k, v := range operationBody(op.Name, thief) {
					body[k] = v
				}
				for _, k := range []string{"identifier", "customizationArn"} {
					if _, ok := body[k]; ok {
						body[k] = arn
					}
				}
				raw := toJSON(body)
				start := time.Now()
				a, err := thief.admin.Raw(ctx, op.Name, raw)
				if err != nil {
					t.Fatal(err)
				}
				return a, time.Since(start)
			}
			missing := func() string { return api.ARN(tenant.NewCustomizationID()) }
			if own, _ := ask(thief.arn); op.Name != "DeleteCustomization" && own.Status == http.StatusForbidden && op.Plane == api.Control {
				t.Fatalf("the control was refused: %d %s", own.Status, own.Body)
			}
			f, _ := ask(arn)
			m, _ := ask(missing())
			if got, want := shape(f), shape(m); got != want || f.Status < 400 {
				t.Fatalf("foreign and missing differ:\n%s\n%s", got, want)
			}
			for try := range 2 {
				var a, b []float64
				for i := range 200 {
					one := func(to *[]float64, arn string) {
						_, d := ask(arn)
						*to = append(*to, float64(d))
					}
					// Which comes first alternates: the second of a pair may
					// find warmer caches.
					if i%2 == 0 {
						one(&a, arn)
						one(&b, missing())
					} else {
						one(&b, missing())
						one(&a, arn)
					}
				}
				z := rankSum(a, b)
				if math.Abs(z) < 3.89 { // p = 0.0001, two-sided
					return
				}
				if try == 1 {
					t.Fatalf("the times differ: z = %.2f", z)
				}
			}
		})
	}
}

// operationBody is a valid body of each operation that names a customization.
func operationBody(op string, s *side) map[string]any {
	perm := map[string]string{"user": s.dev.User.User.String()}
	switch op {
	case "UpdateCustomization":
		return map[string]any{"identifier": "", "operation": "ACTIVATE"}
	case "AssociateCustomizationPermission", "DisassociateCustomizationPermission":
		return map[string]any{"identifier": "", "permission": perm}
	case "GenerateCompletions":
		return map[string]any{"customizationArn": "", "fileContext": map[string]any{"leftFileContent": "x", "rightFileContent": "",
			"filename": "x.go", "programmingLanguage": map[string]string{"languageName": "go"}}}
	case "GetRetrievals":
		return map[string]any{"customizationArn": "", "query": "lookup"}
	}
	return map[string]any{"identifier": ""}
}

var requestID = regexp.MustCompile(`req-[a-z0-9]+`)

// shape is an answer without what is different in every answer.
func shape(a client.Answer) string {
	h := a.Header.Clone()
	for _, k := range []string{"Date", "Server-Timing"} {
		if _, ok := h[k]; ok {
			h.Set(k, "-")
		}
	}
	for k := range h {
		h.Set(k, requestID.ReplaceAllString(h.Get(k), "ID"))
	}
	return fmt.Sprint(a.Status, h, requestID.ReplaceAllString(string(a.Body), "ID"))
}

// rankSum is the normal deviate of the Mann-Whitney test.
func rankSum(a, b []float64) float64 {
	type sample struct {
		v float64
		a bool
	}
	var all []sample
	for _, v := range a {
		all = append(all, sample{v, true})
	}
	for _, v := range b {
		all = append(all, sample{v, false})
	}
	slices.SortFunc(all, func(x, y sample) int {
		switch {
		case x.v < y.v:
			return -1
		case x.v > y.v:
			return 1
		}
		return 0
	})
	var ranks float64
	for i, x := range all {
		if x.a {
			ranks += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	return (ranks - n*(n+m+1)/2) / math.Sqrt(n*m*(n+m+1)/12)
}

// TestRankSumTellsApart is the negative of the test above: a difference that an
// attacker could use is found, and none is found in noise.
func TestRankSumTellsApart(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var a, b, c []float64
	for range 200 {
		a, b, c = append(a, rnd.NormFloat64()), append(b, rnd.NormFloat64()), append(c, rnd.NormFloat64()+0.6)
	}
	if z := rankSum(a, c); math.Abs(z) < 3.89 {
		t.Errorf("a shift of 0.6 deviations was not found: z = %.2f", z)
	}
	if z := rankSum(a, b); math.Abs(z) > 3.89 {
		t.Errorf("a difference was found in noise: z = %.2f", z)
	}
}
