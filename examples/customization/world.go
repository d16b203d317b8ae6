package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/api"
	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
)

// side is one tenant of a demo, with its people and its code.
type side struct {
	name             string
	root             string
	sub              []string
	admin, dev, peer *client.Client
	kept             []client.File   // kept out of the ingestion
	own              map[string]bool // the documents that were not
	files            int
	bytes            int64
	arn              string
	score            float64
}

const prefix = "src/"

// keepOut is every how many files one is kept out of the ingestion.
const keepOut = 25

func goroot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	root := strings.TrimSpace(string(out))
	if err != nil || root == "" {
		root = os.Getenv("GOROOT")
	}
	if _, err := os.Stat(filepath.Join(root, "src", "net")); root == "" || err != nil {
		return "", fmt.Errorf("no source of the Go distribution was found (go %s): give two folders with --source", runtime.Version())
	}
	return filepath.Join(root, "src"), nil
}

// sides picks the code of the two tenants: two disjoint parts of the Go
// distribution, or the folders given.
func sides(sources []string) ([]*side, error) {
	if len(sources) == 2 {
		return []*side{{name: "acme", root: sources[0], sub: []string{"."}}, {name: "globex", root: sources[1], sub: []string{"."}}}, nil
	}
	if len(sources) != 0 {
		return nil, errors.New("--source must be given twice, or not at all")
	}
	root, err := goroot()
	if err != nil {
		return nil, err
	}
	return []*side{
		{name: "acme", root: root, sub: []string{"net", "crypto/tls", "crypto/x509", "os", "database"}},
		{name: "globex", root: root, sub: []string{"go", "encoding", "text", "html", "image", "compress", "archive"}},
	}, nil
}

const maxUpload = 12 << 20

// settle makes the tenant, its users and its bucket's content.
func (s *side) settle(ctx context.Context, st *stack.Stack) error {
	id, _, err := addTenant(st.Dir(), s.name)
	if err != nil {
		return err
	}
	for i, to := range []**client.Client{&s.admin, &s.dev, &s.peer} {
		u, err := addUser(st.Dir(), id, []string{"admin", "developer", "colleague"}[i], i == 0)
		if err != nil {
			return err
		}
		*to = client.New(st.Addr(), u)
	}
	files, err := client.Walk(s.root, s.sub, maxUpload)
	if err != nil {
		return err
	}
	s.own = map[string]bool{}
	var up []client.File
	for i, f := range files {
		if i%keepOut == keepOut-1 {
			s.kept = append(s.kept, f)
			continue
		}
		up = append(up, f)
		s.own[f.Key] = true
		s.bytes += f.Size
	}
	s.files = len(up)
	if s.files == 0 {
		return fmt.Errorf("no source files in %s", s.root)
	}
	return client.Upload(ctx, client.S3(st.S3Addr(), s.admin.User), s.admin.User, prefix, up)
}

func (s *side) reference(bucket, prefix string) *api.DataReference {
	return &api.DataReference{S3Reference: &api.S3Reference{URI: "s3://" + bucket + "/" + prefix}}
}

// customize creates, waits, activates and shares the tenant's customization.
func (s *side) customize(ctx context.Context, name string, progress func(*api.GetCustomizationResponse)) error {
	var made api.CreateCustomizationResponse
	in := map[string]any{"customizationName": name, "clientToken": unique(), "dataReference": s.reference(s.admin.User.Bucket, prefix)}
	if _, err := s.admin.Call(ctx, "CreateCustomization", in, &made); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	s.arn = made.CustomizationARN
	got, err := waitFor(ctx, s.admin, s.arn, progress)
	if err != nil {
		return err
	}
	if got.EvaluationMetrics != nil {
		s.score = got.EvaluationMetrics.CompositeScore
	}
	if err := s.activate(ctx); err != nil {
		return err
	}
	if s.dev == nil {
		return nil
	}
	_, err = s.admin.Call(ctx, "AssociateCustomizationPermission",
		map[string]any{"identifier": s.arn, "permission": map[string]string{"user": s.dev.User.User.String()}}, nil)
	return err
}

func (s *side) activate(ctx context.Context) error {
	_, err := s.admin.Call(ctx, "UpdateCustomization", map[string]any{"identifier": s.arn, "operation": "ACTIVATE", "clientToken": unique()}, nil)
	return err
}

// waitFor polls until an ingestion ends.
func waitFor(ctx context.Context, c *client.Client, arn string, progress func(*api.GetCustomizationResponse)) (*api.GetCustomizationResponse, error) {
	for {
		var got api.GetCustomizationResponse
		// The nonce keeps a poll of the same second from being the same bytes
		// for longer than the firewall repeats an answer.
		if _, err := c.Call(ctx, "GetCustomization", map[string]any{"identifier": arn, "nonce": unique()}, &got); err != nil {
			return nil, fmt.Errorf("get: %w", err)
		}
		if progress != nil {
			progress(&got)
		}
		switch got.Status {
		case "CREATED", "ACTIVATED":
			return &got, nil
		case "CREATION_FAILED", "UPDATE_FAILED":
			return &got, fmt.Errorf("the ingestion failed: %s", got.ErrorDetails)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var counter atomic.Int64

func unique() string { return fmt.Sprintf("%d-%d", time.Now().UnixNano(), counter.Add(1)) }

func toJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only literal values are passed
	}
	return b
}
