package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloisterdev/cloister/retrieval"
)

// corpus reads the Go files of some folders of the Go distribution, in the
// order in which a bucket lists them.
func corpus(ctx context.Context, folders []string) ([]retrieval.Document, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "src")
	var docs []retrieval.Document
	for _, f := range folders {
		err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(f)), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			if !d.Type().IsRegular() || filepath.Ext(p) != ".go" {
				return nil
			}
			text, err := os.ReadFile(p)
			if err != nil || len(text) == 0 || len(text) >= 1<<20 {
				return err
			}
			rel, err := filepath.Rel(root, p)
			docs = append(docs, retrieval.Document{Path: filepath.ToSlash(rel), Text: text})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(docs, func(a, b retrieval.Document) int { return strings.Compare(a.Path, b.Path) })
	return docs, nil
}

// heldOut parts the documents as the service's index worker does: some files
// are kept out of a version to evaluate it. They make good prompts, since
// neither side has seen them.
func heldOut(docs []retrieval.Document) (indexed, held []retrieval.Document) {
	for _, d := range docs {
		h := sha256.Sum256([]byte("hold-out\x00" + d.Path))
		if binary.BigEndian.Uint16(h[:])%24 == 0 && len(held) < 24 && len(docs) >= 40 {
			held = append(held, d)
		} else {
			indexed = append(indexed, d)
		}
	}
	return indexed, held
}

const maxTokens = 32

// prompts are requests with the cursor inside lines of the documents, up to n
// a document, spread over it.
func prompts(docs []retrieval.Document, arn string, n int) (out [][]byte, err error) {
	for _, d := range docs {
		lines := strings.SplitAfter(string(d.Text), "\n")
		step, done := max(1, len(lines)/(2*n+1)), 0
		for i := 20; i < len(lines) && done < n; i++ {
			l := strings.TrimSpace(lines[i])
			if len(l) < 16 || strings.HasPrefix(l, "//") {
				continue
			}
			left, right := strings.Join(lines[:i], ""), strings.Join(lines[i+1:], "")
			cut := strings.Index(lines[i], l) + len(l)/2
			in := completionsRequest{ARN: arn, MaxTokens: maxTokens}
			in.FileContext.Left, in.FileContext.Right = left+lines[i][:cut], lines[i][cut:]+right
			in.FileContext.Left = in.FileContext.Left[max(0, len(in.FileContext.Left)-10_000):]
			in.FileContext.Right = in.FileContext.Right[:min(len(in.FileContext.Right), 2_000)]
			in.FileContext.Filename, in.FileContext.Language.Name = d.Path, "go"
			body, err := json.Marshal(in)
			if err != nil {
				return nil, err
			}
			out = append(out, body)
			done++
			i += step - 1
		}
	}
	return out, nil
}
