package ngram

import (
	"context"
	"iter"
	"strings"

	"github.com/cloisterdev/cloister/gpuinfer"
)

const (
	defaultTokens = 32
	sampleSize    = 64 // entries of a range that are looked at
	orders        = 5  // how many contexts of different length are mixed
	localMatch    = 8  // longest match within the request's own text
	localRecent   = 128
	maxSupport    = 3
	minProb       = 0.05 // of one token
	minTotal      = 0.01 // of the completion so far
)

// trust is the weight of the request's own text, by the length of the corpus's
// match (rows) and of its own match (columns). It is what expectation
// maximization found on kept-out files of Go's compiler, runtime and go
// command, smoothed; it is the same for all, so no tenant can move it.
var trust = [...][localMatch]float64{
	{.57, .73, .77, .90, .93, .93, .91, .91},
	{.36, .67, .83, .87, .88, .92, .90, .90},
	{.33, .42, .61, .66, .79, .80, .93, .94},
	{.26, .43, .43, .53, .74, .80, .80, .93},
	{.25, .36, .40, .45, .67, .76, .76, .95},
	{.24, .30, .38, .43, .50, .74, .80, .93},
	{.21, .26, .32, .39, .42, .46, .55, .80},
	{.20, .23, .28, .36, .40, .48, .55, .75},
	{.18, .22, .28, .35, .40, .48, .55, .65},
	{.17, .22, .28, .33, .38, .45, .50, .65},
	{.16, .20, .22, .30, .35, .40, .45, .55},
	{.09, .10, .11, .13, .16, .18, .20, .48},
}

// candidate is a possible next token with its evidence.
type candidate struct {
	p       float64
	support []uint32 // corpus positions
	local   bool
}

// Complete implements gpuinfer.Model: the rest of the line, token by token,
// until the engine is no longer sure.
func (m *Model) Complete(ctx context.Context, p gpuinfer.Prompt) iter.Seq2[gpuinfer.Token, error] {
	return m.complete(ctx, p, true)
}

// CorpusOnly returns the same model without the request's own text as
// evidence: what it gets right, the corpus taught it. It is for measuring what
// a corpus is worth; for users Complete is better.
func (m *Model) CorpusOnly() gpuinfer.Model { return corpusOnly{m} }

type corpusOnly struct{ m *Model }

func (c corpusOnly) Complete(ctx context.Context, p gpuinfer.Prompt) iter.Seq2[gpuinfer.Token, error] {
	return c.m.complete(ctx, p, false)
}

func (m *Model) complete(ctx context.Context, p gpuinfer.Prompt, own bool) iter.Seq2[gpuinfer.Token, error] {
	return func(yield func(gpuinfer.Token, error) bool) {
		n := p.MaxTokens
		if n == 0 {
			n = defaultTokens
		}
		h := m.history(p)
		total := 1.0
		for range n {
			if err := ctx.Err(); err != nil {
				yield(gpuinfer.Token{}, err)
				return
			}
			best, c := h.next(own)
			if c == nil || c.p < minProb || total*c.p < minTotal || strings.HasPrefix(best, "\n") || strings.HasPrefix(best, "\r") {
				return
			}
			total *= c.p
			t := gpuinfer.Token{Text: best, Prob: min(c.p, 1), FromPrompt: c.local && len(c.support) == 0}
			for _, pos := range c.support {
				t.Support = append(t.Support, gpuinfer.Position{Doc: m.docs[m.doc(pos)], Line: int(m.line[pos]), Offset: int(m.off[pos])})
			}
			if !yield(t, nil) {
				return
			}
			h.push(best)
		}
	}
}

// history is the request's own text as tokens, with a chain from each token to
// its previous occurrence.
type history struct {
	m     *Model
	words []string
	ids   []uint32
	prev  []int
	last  map[string]int
}

func (m *Model) history(p gpuinfer.Prompt) *history {
	h := &history{m: m, last: map[string]int{}}
	for _, c := range p.Chunks {
		lex(c.Text, func(a, b int) { h.push(c.Text[a:b]) })
		h.push("")
	}
	lex(p.Prefix, func(a, b int) { h.push(p.Prefix[a:b]) })
	return h
}

func (h *history) push(w string) {
	id, ok := h.m.ids[w]
	if !ok {
		id = unknown
	}
	prev := -1
	if i, ok := h.last[w]; ok {
		prev = i
	}
	h.last[w] = len(h.words)
	h.words, h.ids, h.prev = append(h.words, w), append(h.ids, id), append(h.prev, prev)
}

// next mixes what the corpus and, if own is set, the request's own text say.
func (h *history) next(own bool) (string, *candidate) {
	all := map[string]*candidate{}
	get := func(w string) *candidate {
		c := all[w]
		if c == nil {
			c = &candidate{}
			all[w] = c
		}
		return c
	}
	localLen := 0
	if own {
		localLen = h.longestLocal()
	}
	globalLen, ranges := h.ranges()
	local := 0.0
	switch {
	case localLen == 0 && len(ranges) == 0:
		return "", nil
	case len(ranges) == 0:
		local = 1
	case localLen > 0:
		local = trust[min(globalLen, len(trust))-1][min(localLen, localMatch)-1]
	}
	h.corpus(ranges, 1-local, get)
	if local > 0 {
		h.own(localLen, local, get)
	}
	best, bestC := "", (*candidate)(nil)
	for w, c := range all {
		if bestC == nil || c.p > bestC.p || c.p == bestC.p && w < best {
			best, bestC = w, c
		}
	}
	return best, bestC
}

// ranges are the contexts of the corpus that match the end of the history,
// longest first.
func (h *history) ranges() (longest int, out [][2]int) {
	lo, hi := 0, len(h.m.ctx)
	for d := 1; d <= depth && d <= len(h.ids); d++ {
		id := h.ids[len(h.ids)-d]
		if id == unknown || id == boundary {
			break
		}
		lo, hi = h.m.narrow(lo, hi, d, id)
		if lo == hi {
			break
		}
		// A longer context with the same evidence says nothing new.
		if len(out) > 0 && out[len(out)-1] == [2]int{lo, hi} {
			longest = d
			continue
		}
		out, longest = append(out, [2]int{lo, hi}), d
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return longest, out[:min(len(out), orders)]
}

// corpus interpolates from the longest context down; a context passes on the
// share that its number of different continuations leaves open.
func (h *history) corpus(ranges [][2]int, weight float64, get func(string) *candidate) {
	left := weight
	for _, r := range ranges {
		n := r[1] - r[0]
		step := max(1, n/sampleSize)
		counts := map[uint32]int{}
		where := map[uint32][]uint32{}
		total := 0
		for i := r[0]; i < r[1]; i += step {
			pos := h.m.ctx[i]
			t := h.m.tok[pos]
			counts[t]++
			total++
			if len(where[t]) < maxSupport {
				where[t] = append(where[t], pos)
			}
		}
		escape := float64(len(counts)) / 2
		for t, k := range counts {
			c := get(h.m.vocab[t])
			c.p += left * float64(k) / (float64(total) + escape)
			if len(c.support) == 0 {
				c.support = where[t]
			}
		}
		left *= escape / (float64(total) + escape)
		if left < 0.01 {
			return
		}
	}
}

// matchAt is how many tokens before and including i agree with the end.
func (h *history) matchAt(i int) int {
	n, end := 0, len(h.words)-1
	for n < localMatch && i-n >= 0 && h.words[i-n] == h.words[end-n] && h.words[i-n] != "" {
		n++
	}
	return n
}

func (h *history) longestLocal() (longest int) {
	if len(h.words) == 0 {
		return 0
	}
	end := len(h.words) - 1
	for i, seen := h.prev[end], 0; i >= 0 && seen < localRecent; i, seen = h.prev[i], seen+1 {
		longest = max(longest, h.matchAt(i))
	}
	return longest
}

// own counts what followed the best matches in the request's own text, recent
// ones first.
func (h *history) own(longest int, weight float64, get func(string) *candidate) {
	var total float64
	votes := map[string]float64{}
	end := len(h.words) - 1
	for i, seen := h.prev[end], 0; i >= 0 && seen < localRecent; i, seen = h.prev[i], seen+1 {
		k := h.matchAt(i)
		if k < max(1, longest-1) || h.words[i+1] == "" {
			continue
		}
		v := float64(k*k) / (1 + float64(seen)/16)
		votes[h.words[i+1]] += v
		total += v
	}
	for w, v := range votes {
		c := get(w)
		// A single short match is weak evidence.
		c.p += weight * v / (total + 2)
		c.local = true
	}
}
