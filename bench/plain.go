package main

import (
	"cmp"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/retrieval"
)

// plainIndex is what retrieval/embedded would be without sealing, files and
// processes: the same chunks, terms and ranking in maps. The ranking is written
// out a second time here, since a peer that called ours would pay for it; that
// both answer alike is checked before anything is timed.
type plainIndex struct {
	chunks []retrieval.Match
	posts  map[string][]posting
	length int
}

type posting struct {
	chunk    int
	tf, norm float64
}

func newPlainIndex(docs []retrieval.Document) *plainIndex {
	x := &plainIndex{posts: map[string][]posting{}}
	for _, d := range docs {
		if retrieval.Exclude(d) != "" {
			continue
		}
		for _, c := range retrieval.Split(d) {
			x.add(d.Path, c)
		}
	}
	return x
}

func (x *plainIndex) add(file string, c retrieval.Chunk) {
	tf, n := map[string]int{}, 0
	retrieval.Tokens(c.Text, func(t string) { tf[t]++; n++ })
	for _, d := range c.Defines {
		retrieval.Identifier(d, func(t string) { tf[t] += 8 })
	}
	retrieval.Tokens(strings.TrimSuffix(file, path.Ext(file)), func(t string) { tf[t] += 2 })
	norm := math.Round(8 * math.Log2(float64(n)+1))
	for t, k := range tf {
		x.posts[t] = append(x.posts[t], posting{len(x.chunks), float64(k), norm})
	}
	x.length += n
	x.chunks = append(x.chunks, retrieval.Match{Path: file, StartLine: c.StartLine, EndLine: c.EndLine, Text: c.Text})
}

// search is BM25 as retrieval/embedded has it, in the same order of additions.
func (x *plainIndex) search(q retrieval.Query) []retrieval.Match {
	const k1, b, maxTerms, maxLists, maxPerFile, testPenalty = 1.2, 0.75, 64, 20, 3, 0.6
	n := float64(len(x.chunks))
	avg := max(8*math.Log2(float64(x.length)/max(n, 1)+1), 1)
	score := make([]float32, len(x.chunks))
	var hits []int
	for _, t := range x.terms(q.Text, maxTerms, maxLists) {
		for _, p := range x.posts[t.text] {
			if score[p.chunk] == 0 {
				hits = append(hits, p.chunk)
			}
			score[p.chunk] += float32(t.weight * p.tf * (k1 + 1) / (p.tf + k1*(1-b+b*p.norm/avg)))
		}
	}
	better := func(i, j int) int { return cmp.Or(cmp.Compare(score[j], score[i]), cmp.Compare(i, j)) }
	var out []retrieval.Match
	perFile := map[string]int{}
	for _, i := range best(hits, 2*q.K+6, better) {
		m := x.chunks[i]
		if m.Path == q.Path || perFile[m.Path] == maxPerFile {
			continue
		}
		perFile[m.Path]++
		m.Score = float64(score[i])
		if strings.Contains(m.Path, "_test.") || strings.Contains(m.Path, "test/") {
			m.Score *= testPenalty
		}
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b retrieval.Match) int { return cmp.Compare(b.Score, a.Score) })
	return out[:min(len(out), q.K)]
}

type weighted struct {
	text   string
	weight float64
}

func (x *plainIndex) terms(text string, most, kept int) []weighted {
	count := map[string]int{}
	var list []weighted
	retrieval.Tokens(text, func(t string) {
		if count[t]++; count[t] == 1 {
			list = append(list, weighted{text: t})
		}
	})
	list = list[max(0, len(list)-most):]
	n := float64(len(x.chunks))
	out := list[:0]
	for _, t := range list {
		df := float64(len(x.posts[t.text]))
		if df == 0 || df*4 > n && df > 50 {
			continue
		}
		t.weight = math.Log(1+(n-df+0.5)/(df+0.5)) * (1 + math.Log(float64(count[t.text])))
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b weighted) int { return cmp.Compare(b.weight, a.weight) })
	return out[:min(len(out), kept)]
}

// best keeps the n best of many, sorted, without sorting the rest.
func best(ids []int, n int, better func(i, j int) int) []int {
	kept := make([]int, 0, n+1)
	for _, id := range ids {
		if len(kept) == n && better(id, kept[n-1]) > 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(kept, id, better)
		if kept = slices.Insert(kept, at, id); len(kept) > n {
			kept = kept[:n]
		}
	}
	return kept
}
