package work

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/gpuinfer/ngram"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
)

// maxPositions bounds the work of an evaluation.
const maxPositions = 300

// EvaluateRequest is what the evaluate worker is asked.
type EvaluateRequest struct {
	Ticket   fas.Ticket `json:"ticket"`
	Manifest string     `json:"manifest"`
}

// Evaluated is the result on the hold-out: exact rest-of-line with and without
// the customization, and the composite score from 1 to 10.
type Evaluated struct {
	Positions  int     `json:"positions"`
	Customized int     `json:"customized"`
	Generic    int     `json:"generic"`
	Score      float64 `json:"score"`
}

// Evaluate scores the new snapshot on the files that were kept out of it.
// Files: firewall, snapshot.
func Evaluate(ctx context.Context, raw []byte, files []*os.File) ([]byte, error) {
	var req EvaluateRequest
	if err := json.Unmarshal(raw, &req); err != nil || len(files) != 2 {
		return nil, errors.New("work: an evaluation needs its request and two descriptors")
	}
	pinned, err := hex.DecodeString(req.Manifest)
	if err != nil || len(pinned) != 32 {
		return nil, errors.New("work: the manifest is not 32 bytes of hex")
	}
	manifest := [32]byte(pinned)
	wall, err := dialFirewall(files[0])
	if err != nil {
		return nil, err
	}
	defer wall.Close()
	s, err := wall.Redeem(ctx, req.Ticket, fas.VerbEvaluate)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	b, err := retrieval.BindingOf(s)
	if err != nil {
		return nil, err
	}
	var out Evaluated
	err = s.WithKey(fas.VerbEvaluate, func(key []byte) error {
		snap, err := embedded.OpenFile(files[1], b, manifest, key)
		if err != nil {
			return err
		}
		model, err := loadModel(snap)
		if err != nil {
			return err
		}
		kept, err := snap.Attachment(holdOutBlob)
		if err != nil {
			return err
		}
		var docs []retrieval.Document
		if err := json.Unmarshal(kept, &docs); err != nil {
			return err
		}
		out, err = score(ctx, model, docs)
		return err
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

func loadModel(snap *embedded.Snapshot) (*ngram.Model, error) {
	blob, err := snap.Attachment(modelBlob)
	if err != nil {
		return nil, err
	}
	return ngram.Load(blob)
}

func score(ctx context.Context, model *ngram.Model, docs []retrieval.Document) (Evaluated, error) {
	generic, err := Generic()
	if err != nil {
		return Evaluated{}, err
	}
	var out Evaluated
	report := progressFrom(ctx)
	seen := Step{Name: "evaluate", Of: len(docs)}
	for _, d := range docs {
		seen.OfBytes += int64(len(d.Text))
	}
	report(seen)
	for _, d := range docs {
		for _, p := range Positions(d.Path, d.Text, maxPositions/max(1, len(docs))+1) {
			out.Positions++
			for _, m := range []struct {
				model *ngram.Model
				hits  *int
			}{{model, &out.Customized}, {generic, &out.Generic}} {
				got, err := RestOfLine(ctx, m.model, p)
				if err != nil {
					return out, err
				}
				if got == p.Want {
					*m.hits++
				}
			}
		}
		seen.Files++
		seen.Bytes += int64(len(d.Text))
		report(seen)
	}
	out.Score = 1
	if out.Positions > 0 {
		// 40 % exact lines is what the best published local models reach on
		// code of the same project; it earns the full score.
		out.Score = 1 + 9*min(1, float64(out.Customized)/float64(out.Positions)/0.4)
	}
	return out, nil
}

// Generic is the engine without a customization: language keywords and the
// open file only.
func Generic() (*ngram.Model, error) {
	return ngram.Build(func(yield func(string, []byte) bool) {})
}

// Position is a cursor in a file of which the engine must write the rest of
// the line.
type Position struct {
	Path, Prefix, Suffix, Want string
	Line                       int
}

// Positions picks up to limit cursors of a file: in the middle of lines that
// hold enough to say, spread over the file.
func Positions(path string, text []byte, limit int) []Position {
	lines := strings.Split(string(text), "\n")
	var out []Position
	step := max(1, len(lines)/(limit*2+1))
	for i := 20; i < len(lines) && len(out) < limit; i += step {
		l := lines[i]
		trimmed := strings.TrimSpace(l)
		if len(trimmed) < 16 || strings.HasPrefix(trimmed, "//") || strings.HasPrefix(trimmed, "*") || strings.HasPrefix(trimmed, "#") {
			continue
		}
		cut := len(l) - len(trimmed) + len(trimmed)/2
		// The cursor stands after a whole word, where an editor would ask.
		for cut < len(l) && isWord(l[cut]) {
			cut++
		}
		if want := strings.TrimRight(l[cut:], " \t\r"); len(want) >= 4 {
			out = append(out, Position{Path: path, Line: i + 1,
				Prefix: strings.Join(lines[:i], "\n") + "\n" + l[:cut],
				Suffix: "\n" + strings.Join(lines[i+1:], "\n"), Want: want})
		}
	}
	return out
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// RestOfLine asks a model for the rest of the cursor's line.
func RestOfLine(ctx context.Context, m gpuinfer.Model, p Position) (string, error) {
	var b strings.Builder
	for tok, err := range m.Complete(ctx, gpuinfer.Prompt{Prefix: tail(p.Prefix, 8<<10), Suffix: head(p.Suffix, 2<<10), Path: p.Path, MaxTokens: 32}) {
		if err != nil {
			return "", err
		}
		b.WriteString(tok.Text)
		if strings.Contains(tok.Text, "\n") {
			break
		}
	}
	line, _, _ := strings.Cut(b.String(), "\n")
	return strings.TrimRight(line, " \t\r"), nil
}

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[len(s)-n:]
}

func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}
