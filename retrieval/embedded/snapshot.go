package embedded

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"sort"
	"strings"

	"github.com/cloisterdev/cloister/retrieval"
)

// Snapshot is an open snapshot.
type Snapshot struct {
	file *os.File
	own  bool
	s    *sealer
	f    footer
}

// OpenFile opens a snapshot that must have the manifest. The file stays the
// caller's.
func OpenFile(file *os.File, b retrieval.Binding, manifest [32]byte, key []byte) (*Snapshot, error) {
	s, err := newSealer(b, key)
	if err != nil {
		return nil, err
	}
	f, err := readFooter(file, s, manifest)
	if err != nil {
		return nil, err
	}
	return &Snapshot{file: file, s: s, f: f}, nil
}

// Close closes the file if the snapshot opened it.
func (s *Snapshot) Close() error {
	if s.own {
		return s.file.Close()
	}
	return nil
}

// Attachment reads a named blob.
func (s *Snapshot) Attachment(name string) ([]byte, error) {
	e, ok := s.f.Blobs[name]
	if !ok {
		return nil, fmt.Errorf("%w: no blob of that name", retrieval.ErrDamaged)
	}
	return (&pages{file: s.file, s: s.s, total: s.f.Pages}).read(e)
}

const (
	k1, b        = 1.2, 0.75
	maxTerms     = 64
	maxPerFile   = 3
	testPenalty  = 0.6
	maxCandidate = 200_000
)

// Search implements retrieval.Backend: BM25 over the terms of the query, with
// weight for definitions and paths, damped for tests.
func (s *Snapshot) Search(ctx context.Context, q retrieval.Query) ([]retrieval.Match, error) {
	p := &pages{file: s.file, s: s.s, total: s.f.Pages, have: map[int64][]byte{}}
	weight := map[string]float64{}
	retrieval.Tokens(q.Text, func(t string) { weight[t]++ })
	terms := make([]string, 0, len(weight))
	for t := range weight {
		terms = append(terms, t)
	}
	sort.Strings(terms)
	if len(terms) > maxTerms {
		terms = terms[:maxTerms]
	}
	score := map[int]float64{}
	avg := 8 * math.Log2(s.f.AvgLen+1)
	for _, t := range terms {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		df, list, err := s.term(p, t)
		if err != nil {
			return nil, err
		}
		if df == 0 || df*4 > s.f.Chunks && df > 50 {
			continue // a term of everything tells nothing
		}
		idf := math.Log(1 + (float64(s.f.Chunks)-float64(df)+0.5)/(float64(df)+0.5))
		w := idf * (1 + math.Log(weight[t]))
		id := -1
		for len(list) > 0 {
			d, n1 := binary.Uvarint(list)
			tf, n2 := binary.Uvarint(list[max(n1, 0):])
			norm, n3 := binary.Uvarint(list[max(n1+n2, 0):])
			if n1 <= 0 || n2 <= 0 || n3 <= 0 || d == 0 || d > maxChunks {
				return nil, fmt.Errorf("%w: postings", retrieval.ErrDamaged)
			}
			list, id = list[n1+n2+n3:], id+int(d)
			if len(score) < maxCandidate {
				f := float64(tf)
				score[id] += w * f * (k1 + 1) / (f + k1*(1-b+b*float64(norm)/max(avg, 1)))
			}
		}
	}
	return s.top(p, score, q)
}

// term finds the postings of a term in its dictionary run.
func (s *Snapshot) term(p *pages, t string) (df int, list []byte, err error) {
	i := sort.Search(len(s.f.Dict), func(i int) bool { return s.f.Dict[i].First > t }) - 1
	if i < 0 {
		return 0, nil, nil
	}
	run, err := p.read(s.f.Dict[i].extent)
	if err != nil {
		return 0, nil, err
	}
	d := decoder{b: run}
	for len(d.b) > 0 && !d.bad {
		term := d.bytes()
		n, off, size := d.uvarint(), d.uvarint(), d.uvarint()
		if d.bad {
			break
		}
		if string(term) == t {
			list, err = p.read(extent{int64(off), int64(size)})
			return int(n), list, err
		}
	}
	if d.bad {
		return 0, nil, fmt.Errorf("%w: dictionary", retrieval.ErrDamaged)
	}
	return 0, nil, nil
}

func (s *Snapshot) top(p *pages, score map[int]float64, q retrieval.Query) ([]retrieval.Match, error) {
	ids := make([]int, 0, len(score))
	for id := range score {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool {
		if score[ids[i]] != score[ids[j]] {
			return score[ids[i]] > score[ids[j]]
		}
		return ids[i] < ids[j]
	})
	var out []retrieval.Match
	perFile := map[string]int{}
	for _, id := range ids[:min(len(ids), 3*q.K+10)] {
		m, err := s.chunk(p, id)
		if err != nil {
			return nil, err
		}
		if m.Path == q.Path || perFile[m.Path] == maxPerFile {
			continue
		}
		perFile[m.Path]++
		m.Score = score[id]
		if strings.Contains(m.Path, "_test.") || strings.Contains(m.Path, "test/") {
			m.Score *= testPenalty
		}
		out = append(out, m)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Score > out[j].Score })
	return out[:min(len(out), q.K)], nil
}

func (s *Snapshot) chunk(p *pages, id int) (m retrieval.Match, err error) {
	if id < 0 || id >= s.f.Chunks {
		return m, fmt.Errorf("%w: chunk", retrieval.ErrDamaged)
	}
	tab, err := p.read(extent{s.f.ChunkTab + 8*int64(id), 16})
	if err != nil {
		return m, err
	}
	from, to := int64(binary.BigEndian.Uint64(tab)), int64(binary.BigEndian.Uint64(tab[8:]))
	raw, err := p.read(extent{from, to - from})
	if err != nil {
		return m, err
	}
	d := decoder{b: raw}
	m.StartLine, m.EndLine = int(d.uvarint()), int(d.uvarint())
	m.Path, m.Text = string(d.bytes()), string(d.bytes())
	if d.bad {
		return m, fmt.Errorf("%w: chunk", retrieval.ErrDamaged)
	}
	return m, nil
}

// decoder reads length-prefixed values; running out is remembered.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > math.MaxInt64/4 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}
