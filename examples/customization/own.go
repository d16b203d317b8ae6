package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/work"
)

// readUser reads what "user add --json" printed.
func readUser(path string) (client.User, error) {
	var u client.User
	b, err := os.ReadFile(path)
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal(b, &u); err != nil || u.User.IsZero() || u.AccessKeyID == "" || u.Secret == "" {
		return u, fmt.Errorf("%s is not what \"user add --json\" prints", path)
	}
	return u, nil
}

// runCustomize takes a folder to a customization in use: upload, create, wait,
// activate, share. Each step is a signed call that curl could make too.
func runCustomize(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("customize", flag.ContinueOnError)
	as := fs.String("as", "", "file with an admin's key, as \"user add --admin --json\" printed it (required)")
	source := fs.String("source", "", "folder to upload first; without it, what lies in the bucket below src/ is used")
	share := fs.String("for", "", "file of a user who gets the right to use it, as \"user add --json\" printed it")
	name := fs.String("name", "", "name of the customization; the folder's by default")
	addr := fs.String("addr", "127.0.0.1:8787", "address of the API")
	s3 := fs.String("s3", "127.0.0.1:8788", "address of the S3 API")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *as == "" || fs.NArg() > 0 {
		return errors.New("usage: customize --as ADMIN.json [--source DIR] [--for USER.json] [--name NAME] [--addr A] [--s3 A]")
	}
	u, err := readUser(*as)
	if err != nil {
		return err
	}
	s := &side{name: *name, admin: client.New(*addr, u)}
	if *share != "" {
		dev, err := readUser(*share)
		if err != nil {
			return err
		}
		s.dev = client.New(*addr, dev)
	}
	p := &printer{out: out}
	if *source != "" {
		files, err := client.Walk(*source, []string{"."}, work.MaxSource)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("there are no source files in %s", *source)
		}
		if err := client.Upload(ctx, client.S3(*s3, u), u, prefix, files); err != nil {
			return fmt.Errorf("upload: %w", err)
		}
		p.say("%d files uploaded to s3://%s/%s", len(files), u.Bucket, prefix)
		if s.name == "" {
			abs, err := filepath.Abs(*source)
			if err != nil {
				return err
			}
			s.name = filepath.Base(abs)
		}
	}
	if s.name == "" {
		s.name = "customization"
	}
	start := time.Now()
	steps := &ingestion{p: p}
	if err := s.customize(ctx, s.name, func(g *api.GetCustomizationResponse) { steps.show(g.Progress) }); err != nil {
		return err
	}
	p.say("active after %.1f s, score %.1f of 10\n%s", time.Since(start).Seconds(), s.score, s.arn)
	if s.dev != nil {
		p.say("\nNext: customization complete FILE:LINE --as %s --addr %s", *share, *addr)
	}
	return nil
}

// runComplete asks for the rest of a line, as an editor would.
func runComplete(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("complete", flag.ContinueOnError)
	as := fs.String("as", "", "file with a user's key, as \"user add --json\" printed it (required)")
	arn := fs.String("customization", "", "ARN; the only one that the user may use by default")
	addr := fs.String("addr", "127.0.0.1:8787", "address of the API")
	words, err := positional(fs, args)
	if err != nil {
		return err
	}
	if *as == "" || len(words) != 1 {
		return errors.New("usage: complete FILE:LINE[:COLUMN] --as USER.json [--customization ARN] [--addr A]\n  LINE counts from 1; the cursor stands before COLUMN, or at the end of the line")
	}
	pos, err := cursor(words[0])
	if err != nil {
		return err
	}
	u, err := readUser(*as)
	if err != nil {
		return err
	}
	s := &side{dev: client.New(*addr, u), arn: *arn}
	if s.arn == "" {
		if s.arn, err = s.onlyOne(ctx); err != nil {
			return err
		}
	}
	got, header, d, err := s.ask(ctx, pos)
	if err != nil {
		return err
	}
	hits, err := s.retrieve(ctx, pos)
	if err != nil {
		return err
	}
	if len(got.Completions) == 0 {
		fmt.Fprintln(out, "(nothing to say here)")
	} else {
		lines := strings.Split(pos.Prefix, "\n")
		fmt.Fprintf(out, "%s", printable(lines[len(lines)-1]))
		for i, l := range strings.Split(got.Completions[0].Content, "\n") {
			if i > 0 {
				fmt.Fprintln(out)
			}
			fmt.Fprint(out, printable(l))
		}
		fmt.Fprintln(out)
	}
	p := &printer{out: out}
	p.say("")
	for _, h := range hits {
		p.say("  %s:%d-%d  %.90s", printable(h.Filepath), h.StartLine, h.EndLine, printable(signature(h.Content)))
	}
	p.say("\n%s", waterfall(header, d))
	return nil
}

// onlyOne finds the customization of a user who may use just one.
func (s *side) onlyOne(ctx context.Context) (string, error) {
	var list api.ListCustomizationsResponse
	if _, err := s.dev.Call(ctx, "ListAvailableCustomizations", map[string]any{"nonce": unique()}, &list); err != nil {
		return "", err
	}
	if len(list.Customizations) != 1 {
		return "", fmt.Errorf("the user may use %d customizations: name one by its ARN", len(list.Customizations))
	}
	return list.Customizations[0].ARN, nil
}

// cursor is a place in a file, FILE:LINE[:COLUMN].
func cursor(s string) (work.Position, error) {
	bad := fmt.Errorf("%q is not FILE:LINE[:COLUMN]", s)
	parts := strings.Split(s, ":")
	var numbers []int
	for len(parts) > 1 && len(numbers) < 2 {
		n, err := strconv.Atoi(parts[len(parts)-1])
		if err != nil {
			break
		}
		numbers, parts = append([]int{n}, numbers...), parts[:len(parts)-1]
	}
	if len(numbers) == 0 {
		return work.Position{}, bad
	}
	path := strings.Join(parts, ":")
	text, err := os.ReadFile(path)
	if err != nil {
		return work.Position{}, err
	}
	lines := strings.Split(string(text), "\n")
	line := numbers[0]
	if line < 1 || line > len(lines) {
		return work.Position{}, fmt.Errorf("%s has %d lines", path, len(lines))
	}
	l := lines[line-1]
	cut := len(l)
	if len(numbers) == 2 {
		if cut = numbers[1] - 1; cut < 0 || cut > len(l) {
			return work.Position{}, fmt.Errorf("line %d of %s has columns 1 to %d", line, path, len(l)+1)
		}
	}
	return work.Position{Path: filepath.ToSlash(path), Line: line, Prefix: strings.Join(append(lines[:line-1:line-1], l[:cut]), "\n"),
		Suffix: strings.Join(append([]string{l[cut:]}, lines[line:]...), "\n"), Want: l[cut:]}, nil
}
