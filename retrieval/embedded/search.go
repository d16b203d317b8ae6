package embedded

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/cloisterdev/cloister/retrieval"
)

const (
	k1, b = 1.2, 0.75
	// Of a long query the terms that tell most are used: maxTerms are looked
	// up, and maxLists of them, rarest first, are read.
	maxTerms    = 64
	maxLists    = 20
	maxPerFile  = 3
	testPenalty = 0.6
)

type scored struct {
	id    int
	score float32
}

// term is a term of the query with its weight and its entry.
type term struct {
	text   string
	weight float64
	entry  dictEntry
}

// Search implements retrieval.Backend: BM25 over the terms of the query, with
// weight for definitions and paths, damped for tests.
func (s *Snapshot) Search(ctx context.Context, q retrieval.Query) ([]retrieval.Match, error) {
	p := &pages{file: s.file, s: s.s, total: s.f.Pages, have: map[int64][]byte{}}
	terms, err := s.terms(ctx, p, q.Text)
	if err != nil {
		return nil, err
	}
	score := make([]float32, s.f.Chunks)
	var hits []int32
	for _, t := range terms {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list, err := p.read(t.entry.at)
		if err != nil {
			return nil, err
		}
		if hits, err = s.add(score, hits, t, list); err != nil {
			return nil, err
		}
	}
	return s.top(p, best(score, hits, 2*q.K+6), q)
}

// terms looks the query's terms up and returns those worth reading, the most
// telling first. A term of everything tells nothing.
func (s *Snapshot) terms(ctx context.Context, p *pages, text string) ([]term, error) {
	count := map[string]int{}
	var list []term
	retrieval.Tokens(text, func(t string) {
		if count[t]++; count[t] == 1 {
			list = append(list, term{text: t})
		}
	})
	// In code the last words stand nearest to the cursor.
	list = list[max(0, len(list)-maxTerms):]
	kept := list[:0]
	for _, t := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := s.lookup(p, t.text)
		if err != nil {
			return nil, err
		}
		if e.df == 0 || e.df*4 > s.f.Chunks && e.df > 50 {
			continue
		}
		n, df := float64(s.f.Chunks), float64(e.df)
		t.entry, t.weight = e, math.Log(1+(n-df+0.5)/(df+0.5))*(1+math.Log(float64(count[t.text])))
		kept = append(kept, t)
	}
	sort.SliceStable(kept, func(i, j int) bool { return kept[i].weight > kept[j].weight })
	return kept[:min(len(kept), maxLists)], nil
}

func (s *Snapshot) add(score []float32, hits []int32, t term, list []byte) ([]int32, error) {
	id := -1
	avg := max(8*math.Log2(s.f.AvgLen+1), 1)
	for len(list) > 0 {
		d, n1 := binary.Uvarint(list)
		tf, n2 := binary.Uvarint(list[max(n1, 0):])
		norm, n3 := binary.Uvarint(list[max(n1+n2, 0):])
		if n1 <= 0 || n2 <= 0 || n3 <= 0 || d == 0 || d > uint64(len(score)-1-id) {
			return nil, fmt.Errorf("%w: postings", retrieval.ErrDamaged)
		}
		list, id = list[n1+n2+n3:], id+int(d)
		if score[id] == 0 {
			hits = append(hits, int32(id))
		}
		f := float64(tf)
		score[id] += float32(t.weight * f * (k1 + 1) / (f + k1*(1-b+b*float64(norm)/avg)))
	}
	return hits, nil
}

// worst is a heap with the worst of the kept ones on top.
type worst []scored

func (w worst) Len() int { return len(w) }
func (w worst) Less(i, j int) bool {
	return w[i].score < w[j].score || w[i].score == w[j].score && w[i].id > w[j].id
}
func (w worst) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w *worst) Push(x any)   { *w = append(*w, x.(scored)) }
func (w *worst) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

// best returns the n chunks with the highest scores, best first.
func best(score []float32, hits []int32, n int) []scored {
	var kept worst
	for _, h := range hits {
		switch x := (scored{int(h), score[h]}); {
		case len(kept) < n:
			heap.Push(&kept, x)
		case x.score > kept[0].score:
			kept[0] = x
			heap.Fix(&kept, 0)
		}
	}
	sort.Sort(sort.Reverse(kept))
	return kept
}

func (s *Snapshot) top(p *pages, found []scored, q retrieval.Query) ([]retrieval.Match, error) {
	var out []retrieval.Match
	perFile := map[string]int{}
	for _, x := range found {
		m, err := s.chunk(p, x.id)
		if err != nil {
			return nil, err
		}
		if m.Path == q.Path || perFile[m.Path] == maxPerFile {
			continue
		}
		perFile[m.Path]++
		m.Score = float64(x.score)
		if strings.Contains(m.Path, "_test.") || strings.Contains(m.Path, "test/") {
			m.Score *= testPenalty
		}
		out = append(out, m)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Score > out[j].Score })
	return out[:min(len(out), q.K)], nil
}
