package front

import (
	"context"
	"strings"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
)

const (
	defaultTokens = 32
	maxTokens     = 128
	// promptHits is how many definitions a completion is shown.
	promptHits = 3
)

func (f *Front) complete(ctx context.Context, c *api.Call, in *api.GenerateCompletionsRequest) (*api.GenerateCompletionsResponse, error) {
	fc := in.FileContext
	if len(fc.LeftFileContent) > 4*maxContext || len(fc.RightFileContent) > 4*maxContext {
		return nil, api.Invalid("fileContext has more than 10240 characters on one side of the cursor.")
	}
	n := in.MaxTokens
	if n == 0 {
		n = defaultTokens
	}
	if n < 0 || n > maxTokens {
		return nil, api.Invalid("maxTokens must be between 1 and 128.")
	}
	r, err := retrieval.Open(ctx, c.Session, f.collections)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c.Trace.Step("open")
	res, err := r.Query(ctx, retrieval.Query{Text: lastLines(fc.LeftFileContent, 8), Path: fc.Filename, Language: fc.ProgrammingLanguage.LanguageName, K: promptHits})
	if err != nil {
		return nil, err
	}
	c.Trace.Step("query")
	lease, err := f.slots.Acquire(ctx, c.Session)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	c.Trace.Step("lease")
	p := gpuinfer.Prompt{Prefix: fc.LeftFileContent, Suffix: fc.RightFileContent, Path: fc.Filename, MaxTokens: n}
	for _, h := range res.Hits {
		p.Chunks = append(p.Chunks, gpuinfer.Chunk{Customization: c.Session.Customization(), Text: h.Text})
	}
	out := api.Completion{Confidence: 1, Tokens: []api.CompletionToken{}}
	var text strings.Builder
	for tok, err := range lease.Complete(ctx, p) {
		if err != nil {
			return nil, err
		}
		text.WriteString(tok.Text)
		out.Confidence *= tok.Prob
		t := api.CompletionToken{Text: tok.Text, FromPrompt: tok.FromPrompt}
		for _, s := range tok.Support {
			t.Support = append(t.Support, api.Position{Doc: s.Doc, Line: s.Line, Offset: s.Offset})
		}
		out.Tokens = append(out.Tokens, t)
	}
	c.Trace.Step("complete")
	resp := &api.GenerateCompletionsResponse{Completions: []api.Completion{}}
	if out.Content = text.String(); out.Content != "" {
		resp.Completions = append(resp.Completions, out)
	}
	return resp, nil
}

func (f *Front) retrieve(ctx context.Context, c *api.Call, in *api.GetRetrievalsRequest) (*api.GetRetrievalsResponse, error) {
	if strings.TrimSpace(in.Query) == "" || len(in.Query) > maxQuery {
		return nil, api.Invalid("query must have 1 to 4096 bytes.")
	}
	if in.MaxResults < 0 || in.MaxResults > 50 {
		return nil, api.Invalid("maxResults must be between 1 and 50.")
	}
	r, err := retrieval.Open(ctx, c.Session, f.collections)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c.Trace.Step("open")
	res, err := r.Query(ctx, retrieval.Query{Text: in.Query, Language: in.LanguageName, K: in.MaxResults})
	if err != nil {
		return nil, err
	}
	c.Trace.Step("query")
	hits := []api.Retrieval{}
	for _, h := range res.Hits {
		hits = append(hits, api.Retrieval{Content: h.Text, Score: h.Score, Filepath: h.Path, StartLine: h.StartLine, EndLine: h.EndLine})
	}
	return &api.GetRetrievalsResponse{Retrievals: map[string][]api.Retrieval{"results": hits}}, nil
}

func lastLines(s string, n int) string {
	i := len(s)
	for ; n > 0 && i > 0; n-- {
		i = strings.LastIndexByte(s[:i], '\n')
		if i < 0 {
			return s
		}
	}
	return s[i+1:]
}
