package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/gpuinfer/ngram"
	"github.com/cloisterdev/cloister/retrieval"
)

// peerRole is the word that makes this program the plain peer: a process of its
// own, so that its memory is not the load generator's.
const peerRole = "_plain"

// The API's messages, as both sides speak them.
type (
	fileContext struct {
		Left     string `json:"leftFileContent"`
		Right    string `json:"rightFileContent"`
		Filename string `json:"filename"`
		Language struct {
			Name string `json:"languageName"`
		} `json:"programmingLanguage"`
	}
	completionsRequest struct {
		FileContext fileContext `json:"fileContext"`
		ARN         string      `json:"customizationArn"`
		MaxTokens   int         `json:"maxTokens"`
	}
	retrievalsRequest struct {
		ARN        string `json:"customizationArn"`
		Query      string `json:"query"`
		MaxResults int    `json:"maxResults"`
	}
	position struct {
		Doc    string `json:"doc"`
		Line   int    `json:"line"`
		Offset int    `json:"offset"`
	}
	token struct {
		Text       string     `json:"text"`
		FromPrompt bool       `json:"fromPrompt,omitempty"`
		Support    []position `json:"support,omitempty"`
	}
	completion struct {
		Content    string  `json:"content"`
		Confidence float64 `json:"confidence"`
		Tokens     []token `json:"tokens"`
	}
	completionsResponse struct {
		Completions []completion `json:"completions"`
	}
	hit struct {
		Content   string  `json:"content"`
		Score     float64 `json:"score"`
		Filepath  string  `json:"filepath"`
		StartLine int     `json:"startLine"`
		EndLine   int     `json:"endLine"`
	}
	retrievalsResponse struct {
		Retrievals map[string][]hit `json:"retrievals"`
	}
)

// promptHits and promptLines are what the service asks its index for.
const (
	promptHits  = 3
	promptLines = 8
)

// peer is a completion service as one writes it without Cloister: an index and
// a model in memory behind net/http.
type peer struct {
	index *plainIndex
	model *ngram.Model
}

func newPeer(docs []retrieval.Document) (*peer, error) {
	m, err := ngram.Build(func(yield func(string, []byte) bool) {
		for _, d := range docs {
			if !yield(d.Path, d.Text) {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return &peer{newPlainIndex(docs), m}, nil
}

func (p *peer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /GenerateCompletions", func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		var in completionsRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		admitted := time.Now()
		hits := p.index.search(retrieval.Query{Text: lastLines(in.FileContext.Left, promptLines), Path: in.FileContext.Filename, K: promptHits})
		found := time.Now()
		out, err := p.complete(r.Context(), in, hits)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
		w.Header().Set("Server-Timing", fmt.Sprintf("decode;dur=%.6f, query;dur=%.6f, complete;dur=%.6f",
			ms(admitted.Sub(start)), ms(found.Sub(admitted)), ms(time.Since(found))))
		writeAnswer(w, out)
	})
	mux.HandleFunc("POST /GetRetrievals", func(w http.ResponseWriter, r *http.Request) {
		var in retrievalsRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		hits := []hit{}
		for _, m := range p.index.search(retrieval.Query{Text: in.Query, K: in.MaxResults}) {
			hits = append(hits, hit{m.Text, m.Score, m.Path, m.StartLine, m.EndLine})
		}
		writeAnswer(w, retrievalsResponse{map[string][]hit{"results": hits}})
	})
	return mux
}

func writeAnswer(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b)
}

func (p *peer) complete(ctx context.Context, in completionsRequest, hits []retrieval.Match) (completionsResponse, error) {
	q := gpuinfer.Prompt{Prefix: in.FileContext.Left, Suffix: in.FileContext.Right, Path: in.FileContext.Filename, MaxTokens: in.MaxTokens}
	for _, h := range hits {
		q.Chunks = append(q.Chunks, gpuinfer.Chunk{Text: h.Text})
	}
	one := completion{Confidence: 1, Tokens: []token{}}
	var text strings.Builder
	for t, err := range p.model.Complete(ctx, q) {
		if err != nil {
			return completionsResponse{}, err
		}
		text.WriteString(t.Text)
		one.Confidence *= t.Prob
		to := token{Text: t.Text, FromPrompt: t.FromPrompt}
		for _, s := range t.Support {
			to.Support = append(to.Support, position{s.Doc, s.Line, s.Offset})
		}
		one.Tokens = append(one.Tokens, to)
	}
	out := completionsResponse{Completions: []completion{}}
	if one.Content = text.String(); one.Content != "" {
		out.Completions = append(out.Completions, one)
	}
	return out, nil
}

func lastLines(s string, n int) string {
	i := len(s)
	for ; n > 0 && i > 0; n-- {
		if i = strings.LastIndexByte(s[:i], '\n'); i < 0 {
			return s
		}
	}
	return s[i+1:]
}

// servePeer is the life of the peer's process: documents on in, its address on
// out, requests until in ends, which it does with its parent.
func servePeer(in io.Reader, out io.Writer) error {
	var docs []retrieval.Document
	d := json.NewDecoder(in)
	if err := d.Decode(&docs); err != nil {
		return err
	}
	p, err := newPeer(docs)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = srv.Close()
	}()
	if _, err := fmt.Fprintln(out, "http://"+l.Addr().String()); err != nil {
		return err
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startPeer starts this program as the plain peer. stop ends it and waits.
func startPeer(ctx context.Context, docs []retrieval.Document) (base string, stop func(), err error) {
	in, out, end, err := startSelf(ctx, peerRole)
	if err != nil {
		return "", nil, err
	}
	stop = func() { _ = end() }
	if err := json.NewEncoder(in).Encode(docs); err != nil {
		stop()
		return "", nil, fmt.Errorf("the plain peer: %w", err)
	}
	if _, err := fmt.Fscanln(out, &base); err != nil {
		stop()
		return "", nil, fmt.Errorf("the plain peer did not start: %w", err)
	}
	return base, stop, nil
}
