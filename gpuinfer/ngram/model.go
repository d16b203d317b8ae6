package ngram

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
)

// The sentinel errors of this package.
var (
	ErrModel = errors.New("ngram: not a model")
	ErrLimit = errors.New("ngram: corpus too large")
)

// MaxTokens is the largest corpus, in tokens.
const MaxTokens = 24 << 20

// depth is how far back contexts are compared when the index is sorted.
const depth = 24

// boundary stands between documents, and unknown for what the corpus lacks.
const (
	boundary = 0
	unknown  = math.MaxUint32
)

// Model is a corpus with its suffix index.
type Model struct {
	vocab []string // vocab[boundary] is ""
	ids   map[string]uint32
	tok   []uint32
	off   []uint32 // byte offset of each token in its document
	line  []uint32
	ctx   []uint32 // positions, sorted by the reversed text before them
	docs  []string
	first []uint32 // first token of each document
}

// Build indexes the documents that the sequence yields.
func Build(docs func(yield func(path string, text []byte) bool)) (*Model, error) {
	m := &Model{vocab: []string{""}, ids: map[string]uint32{"": boundary}}
	var err error
	docs(func(path string, text []byte) bool {
		if len(text) > math.MaxInt32 || len(m.tok)+len(text) > math.MaxUint32/2 {
			err = ErrLimit
			return false
		}
		m.add(path, string(text))
		if len(m.tok) > MaxTokens {
			err = ErrLimit
		}
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	m.sort()
	return m, nil
}

func (m *Model) add(path, text string) {
	m.docs = append(m.docs, path)
	m.first = append(m.first, uint32(len(m.tok)))
	m.push(boundary, 0, 0)
	line := uint32(1)
	lex(text, func(start, end int) {
		w := text[start:end]
		id, ok := m.ids[w]
		if !ok {
			id = uint32(len(m.vocab))
			w = string(bytes.Clone([]byte(w)))
			m.vocab = append(m.vocab, w)
			m.ids[w] = id
		}
		m.push(id, uint32(start), line)
		for i := start; i < end; i++ {
			if text[i] == '\n' {
				line++
			}
		}
	})
}

func (m *Model) push(id, off, line uint32) {
	m.tok, m.off, m.line = append(m.tok, id), append(m.off, off), append(m.line, line)
}

// sort orders all positions by the tokens before them, nearest first.
func (m *Model) sort() {
	m.ctx = make([]uint32, 0, len(m.tok))
	for i := 1; i < len(m.tok); i++ {
		if m.tok[i] != boundary {
			m.ctx = append(m.ctx, uint32(i))
		}
	}
	tok := m.tok
	slices.SortFunc(m.ctx, func(a, b uint32) int {
		for d := uint32(1); d <= depth; d++ {
			if d > a || d > b {
				break
			}
			x, y := tok[a-d], tok[b-d]
			if x != y {
				if x < y {
					return -1
				}
				return 1
			}
			if x == boundary {
				break
			}
		}
		if a < b {
			return -1
		}
		return 1
	})
}

// narrow keeps, of a range of contexts that agree on d-1 tokens, those whose
// d-th token back is want.
func (m *Model) narrow(lo, hi, d int, want uint32) (int, int) {
	at := func(i int) uint32 {
		p := int(m.ctx[i]) - d
		if p < 0 {
			return boundary
		}
		return m.tok[p]
	}
	a := lo + sort.Search(hi-lo, func(i int) bool { return at(lo+i) >= want })
	z := a + sort.Search(hi-a, func(i int) bool { return at(a+i) > want })
	return a, z
}

// doc finds the document of a token.
func (m *Model) doc(pos uint32) int {
	return sort.Search(len(m.first), func(i int) bool { return m.first[i] > pos }) - 1
}

const magic = "CLSTRNGM1\n"

// MarshalBinary returns the form that [Load] reads.
func (m *Model) MarshalBinary() ([]byte, error) {
	b := []byte(magic)
	texts := func(list []string) {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(list)))
		for _, s := range list {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	texts(m.vocab)
	texts(m.docs)
	for _, a := range [][]uint32{m.first, m.tok, m.off, m.line, m.ctx} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(a)))
		for _, x := range a {
			b = binary.LittleEndian.AppendUint32(b, x)
		}
	}
	return b, nil
}

type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) count(size int) int {
	b := r.take(4)
	if b == nil {
		return 0
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n > len(r.b)/size {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) texts() []string {
	n := r.count(1)
	out := make([]string, 0, n)
	for range n {
		v, k := binary.Uvarint(r.b)
		if k <= 0 || v > uint64(len(r.b)) {
			r.bad = true
			return nil
		}
		r.take(k)
		out = append(out, string(r.take(int(v))))
	}
	return out
}

func (r *reader) numbers() []uint32 {
	n := r.count(4)
	out := make([]uint32, n)
	b := r.take(4 * n)
	for i := range out {
		if r.bad {
			return nil
		}
		out[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return out
}

// Load reads a model and checks that every index in it is within bounds.
func Load(b []byte) (*Model, error) {
	if !bytes.HasPrefix(b, []byte(magic)) {
		return nil, ErrModel
	}
	r := &reader{b: b[len(magic):]}
	m := &Model{vocab: r.texts(), docs: r.texts()}
	m.first, m.tok, m.off, m.line, m.ctx = r.numbers(), r.numbers(), r.numbers(), r.numbers(), r.numbers()
	if r.bad || len(r.b) != 0 || len(m.vocab) == 0 || m.vocab[0] != "" {
		return nil, ErrModel
	}
	n := uint32(len(m.tok))
	if len(m.off) != len(m.tok) || len(m.line) != len(m.tok) || len(m.first) != len(m.docs) || len(m.ctx) > len(m.tok) {
		return nil, fmt.Errorf("%w: lengths", ErrModel)
	}
	for _, t := range m.tok {
		if t >= uint32(len(m.vocab)) {
			return nil, fmt.Errorf("%w: token", ErrModel)
		}
	}
	for _, p := range m.ctx {
		if p == 0 || p >= n {
			return nil, fmt.Errorf("%w: position", ErrModel)
		}
	}
	for i, f := range m.first {
		if f >= n || i == 0 && f != 0 || i > 0 && f <= m.first[i-1] {
			return nil, fmt.Errorf("%w: document", ErrModel)
		}
	}
	if len(m.docs) == 0 && n > 0 {
		return nil, fmt.Errorf("%w: tokens without documents", ErrModel)
	}
	m.ids = make(map[string]uint32, len(m.vocab))
	for i, w := range m.vocab {
		if _, dup := m.ids[w]; dup {
			return nil, fmt.Errorf("%w: vocabulary", ErrModel)
		}
		m.ids[w] = uint32(i)
	}
	return m, nil
}
