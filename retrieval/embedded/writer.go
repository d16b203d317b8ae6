package embedded

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path"
	"sort"
	"strings"

	"github.com/cloisterdev/cloister/retrieval"
)

// Stats counts what a snapshot holds.
type Stats struct {
	Documents, Chunks, Terms int
	Excluded                 map[string]int // by reason
}

const (
	maxChunks = 2_000_000
	maxBlobs  = 64
)

// posting fields: a term stands in the body, or is defined here, or is part of
// the path.
const (
	defWeight  = 8
	pathWeight = 2
)

// Writer writes one snapshot.
type Writer struct {
	p      *pageWriter
	post   map[string]*postings
	starts []int64
	length int64
	stats  Stats
	blobs  map[string][]byte
	done   bool
}

type postings struct {
	b    []byte
	last int
	n    int
}

// Options of [Create]; there are none yet.
type Options struct{}

// Create starts a snapshot in the given empty file.
func Create(f *os.File, b retrieval.Binding, key []byte, _ *Options) (*Writer, error) {
	s, err := newSealer(b, key, newSalt())
	if err != nil {
		return nil, err
	}
	return &Writer{p: &pageWriter{s: s, w: f}, post: map[string]*postings{}, blobs: map[string][]byte{}, stats: Stats{Excluded: map[string]int{}}}, nil
}

// Add takes in a document, or counts why it is left out.
func (w *Writer) Add(ctx context.Context, d retrieval.Document) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(d.Path) > 1024 || w.done {
		return retrieval.ErrLimit
	}
	if why := retrieval.Exclude(d); why != "" {
		w.stats.Excluded[why]++
		return nil
	}
	w.stats.Documents++
	for _, c := range retrieval.Split(d) {
		if err := w.chunk(d.Path, c); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) chunk(p string, c retrieval.Chunk) error {
	id := len(w.starts)
	if id >= maxChunks {
		return fmt.Errorf("%w: chunks", retrieval.ErrLimit)
	}
	w.starts = append(w.starts, w.p.off)
	rec := binary.AppendUvarint(nil, uint64(c.StartLine))
	rec = binary.AppendUvarint(rec, uint64(c.EndLine))
	for _, s := range []string{p, c.Text} {
		rec = binary.AppendUvarint(rec, uint64(len(s)))
		rec = append(rec, s...)
	}
	if err := w.p.write(rec); err != nil {
		return err
	}
	tf, n := map[string]int{}, 0
	retrieval.Tokens(c.Text, func(t string) { tf[t]++; n++ })
	for _, d := range c.Defines {
		retrieval.Identifier(d, func(t string) { tf[t] += defWeight })
	}
	retrieval.Tokens(strings.TrimSuffix(p, path.Ext(p)), func(t string) { tf[t] += pathWeight })
	w.length += int64(n)
	// Long chunks are damped: the length is kept as a logarithm in one byte.
	norm := uint64(math.Round(8 * math.Log2(float64(n)+1)))
	for t, k := range tf {
		l := w.post[t]
		if l == nil {
			l = &postings{last: -1}
			w.post[t] = l
		}
		l.b = binary.AppendUvarint(l.b, uint64(id-l.last))
		l.b = binary.AppendUvarint(l.b, uint64(k))
		l.b = binary.AppendUvarint(l.b, norm)
		l.last = id
		l.n++
	}
	return nil
}

// Chunks is how many chunks the documents so far were split into.
func (w *Writer) Chunks() int { return len(w.starts) }

// Attach adds a named blob, sealed like the rest.
func (w *Writer) Attach(name string, data []byte) error {
	if name == "" || w.blobs[name] != nil || int64(len(data)) > maxRange || len(w.blobs) == maxBlobs || len(name) > 100 {
		return retrieval.ErrLimit
	}
	w.blobs[name] = data
	return nil
}

// Seal finishes the file and returns the digest to pin. The caller syncs it.
func (w *Writer) Seal(ctx context.Context) (manifest [32]byte, st Stats, err error) {
	if w.done {
		return manifest, st, retrieval.ErrLimit
	}
	w.done = true
	textEnd := w.p.off
	f := footer{Chunks: len(w.starts), AvgLen: float64(w.length) / float64(max(1, len(w.starts))), Blobs: map[string]extent{}, Docs: w.stats.Documents}
	dict := make([]dictEntry, 0, len(w.post))
	for t, l := range w.post {
		dict = append(dict, dictEntry{hash: hashTerm(t), df: l.n, post: l.b})
	}
	sort.Slice(dict, func(i, j int) bool { return dict[i].hash < dict[j].hash })
	for i := range dict {
		if err := ctx.Err(); err != nil {
			return manifest, st, err
		}
		dict[i].at = extent{w.p.off, int64(len(dict[i].post))}
		if err := w.p.write(dict[i].post); err != nil {
			return manifest, st, err
		}
	}
	f.Dict, f.Terms = w.p.off, int64(len(dict))
	for i := range dict {
		if err := w.p.write(dict[i].marshal()); err != nil {
			return manifest, st, err
		}
	}
	f.ChunkTab = w.p.off
	var tab []byte
	for _, s := range append(w.starts, textEnd) {
		tab = binary.BigEndian.AppendUint64(tab, uint64(s))
	}
	if err := w.p.write(tab); err != nil {
		return manifest, st, err
	}
	names := make([]string, 0, len(w.blobs))
	for n := range w.blobs {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		f.Blobs[n] = extent{w.p.off, int64(len(w.blobs[n]))}
		if err := w.p.write(w.blobs[n]); err != nil {
			return manifest, st, err
		}
	}
	w.stats.Chunks, w.stats.Terms = len(w.starts), len(dict)
	manifest, err = w.p.finish(f)
	return manifest, w.stats, err
}
