package work

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer/ngram"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
)

// Names of the blobs that a snapshot carries besides its index.
const (
	modelBlob   = "model.ngram"
	holdOutBlob = "holdout"
)

// maxHoldOut bounds the files kept out of a version for its evaluation.
const maxHoldOut = 24

// IndexRequest is what the index worker is asked.
type IndexRequest struct {
	Ticket fas.Ticket `json:"ticket"`
	Digest string     `json:"digest"` // of the staging file
	Files  int        `json:"files"`
	Bytes  int64      `json:"bytes"`
}

// Indexed is what an index worker reports.
type Indexed struct {
	Manifest string `json:"manifest"` // hex; pinned by the firewall's registry
	Files    int    `json:"files"`
	Chunks   int    `json:"chunks"`
	Bytes    int64  `json:"bytes"`
	HeldOut  int    `json:"held_out"`
}

// Index parses the staged source and writes the sealed snapshot. Files:
// firewall, staging, snapshot.
func Index(ctx context.Context, raw []byte, files []*os.File) ([]byte, error) {
	var req IndexRequest
	if err := json.Unmarshal(raw, &req); err != nil || len(files) != 3 {
		return nil, errors.New("work: an index needs its request and three descriptors")
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, files[1]); err != nil {
		return nil, err
	}
	if hex.EncodeToString(sum.Sum(nil)) != req.Digest {
		return nil, ErrStaging
	}
	if _, err := files[1].Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	wall, err := dialFirewall(files[0])
	if err != nil {
		return nil, err
	}
	defer wall.Close()
	s, err := wall.Redeem(ctx, req.Ticket, fas.VerbIndex)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var out Indexed
	err = s.WithKey(fas.VerbStage, func(stageKey []byte) error {
		return s.WithKey(fas.VerbIndex, func(snapKey []byte) error {
			return build(ctx, s, files[1], files[2], stageKey, snapKey, req.Files, req.Bytes, &out)
		})
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func build(ctx context.Context, s *fas.Session, staging io.Reader, to *os.File, stageKey, snapKey []byte, total int, bytes int64, out *Indexed) error {
	sr, err := newStagingReader(ctx, staging, stageKey, bindingOf(s))
	if err != nil {
		return err
	}
	b, err := retrieval.BindingOf(s)
	if err != nil {
		return err
	}
	w, err := embedded.Create(to, b, snapKey, nil)
	if err != nil {
		return err
	}
	var docs, held []retrieval.Document
	report := progressFrom(ctx)
	seen := Step{Name: "index", Of: total, OfBytes: bytes}
	report(seen)
	err = eachFile(sr, func(path string, text []byte) error {
		doc := retrieval.Document{Path: path, Text: text}
		seen.Files++
		seen.Bytes += int64(len(text))
		seen.Chunks = w.Chunks()
		report(seen)
		if holdOut(path) && len(held) < maxHoldOut && total >= 40 {
			held = append(held, doc)
			return nil
		}
		if err := w.Add(ctx, doc); err != nil {
			return err
		}
		if modelled(text) {
			docs = append(docs, doc)
		}
		out.Files++
		out.Bytes += int64(len(text))
		return nil
	})
	if err != nil {
		return err
	}
	seen = Step{Name: "model", Of: len(docs), OfBytes: out.Bytes, Chunks: w.Chunks()}
	report(seen)
	model, err := buildModel(docs)
	if err != nil {
		return err
	}
	seen.Files, seen.Bytes = seen.Of, seen.OfBytes
	report(seen)
	kept, err := json.Marshal(held)
	if err != nil {
		return err
	}
	if err := errors.Join(w.Attach(modelBlob, model), w.Attach(holdOutBlob, kept)); err != nil {
		return err
	}
	manifest, stats, err := w.Seal(ctx)
	if err != nil {
		return err
	}
	out.Manifest, out.HeldOut, out.Chunks = hex.EncodeToString(manifest[:]), len(held), stats.Chunks
	return to.Sync()
}

func buildModel(docs []retrieval.Document) ([]byte, error) {
	m, err := ngram.Build(func(yield func(path string, text []byte) bool) {
		for _, d := range docs {
			if !yield(d.Path, d.Text) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return m.MarshalBinary()
}

// modelled reports whether a file is text that a completion may quote.
func modelled(text []byte) bool {
	return len(text) < 1<<20 && !bytes.Contains(text[:min(len(text), 8000)], []byte{0})
}

// holdOut picks files by a hash of their path, so that the choice is stable
// between versions and nobody's.
func holdOut(path string) bool {
	h := sha256.Sum256([]byte("hold-out\x00" + path))
	return binary.BigEndian.Uint16(h[:])%24 == 0
}
