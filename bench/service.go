package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/tenant"
)

// service is examples/customization as whoever runs it has it: its own binary,
// its command line and its two ports, nothing from inside.
type service struct {
	exe, data, api, s3 string
	cmd                *exec.Cmd
	log                *tail
}

// user is what "user add --json" prints.
type user struct {
	Tenant string `json:"tenant"`
	User   string `json:"user"`
	Bucket string `json:"bucket"`
	Key    string `json:"access_key_id"`
	Secret string `json:"secret_access_key"`
}

// tail keeps the end of what the processes wrote, to show why one failed.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-4<<10):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}

// startService builds the example and starts all its processes in dir, which
// is the caller's to remove.
func startService(ctx context.Context, dir string) (*service, error) {
	s := &service{exe: filepath.Join(dir, "customization"), data: filepath.Join(dir, "data"), log: &tail{}}
	build := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join("..", "examples"), "-o", s.exe, "./customization")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the service: %w\n%s", err, out)
	}
	s.cmd = exec.CommandContext(ctx, s.exe, "serve", "--data", s.data, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0")
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 15 * time.Second
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && (s.api == "" || s.s3 == "") {
		switch f := strings.Fields(lines.Text()); {
		case len(f) > 1 && f[0] == "API":
			s.api = f[1]
		case len(f) > 1 && f[0] == "S3":
			s.s3 = f[1]
		}
	}
	if s.api == "" || s.s3 == "" {
		s.stop()
		return nil, fmt.Errorf("the service did not come up:\n%s", s.log)
	}
	return s, nil
}

func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// command runs the service's command line and decodes what it prints.
func (s *service) command(ctx context.Context, into any, args ...string) error {
	cmd := exec.CommandContext(ctx, s.exe, append(args, "--data", s.data, "--json")...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", args[0], args[1], err, &errs)
	}
	return json.Unmarshal(out, into)
}

// signed is a client with a user's own access key.
func (u user) signed(service string) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &sigv4.Transport{AccessKeyID: u.Key, Secret: tenant.NewSecret([]byte(u.Secret)),
		Region: "us-east-1", Service: service, Base: manyConnections()}}
}

func manyConnections() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	return t
}

// customize makes a tenant whose bucket holds the documents, and a
// customization of them that the returned developer may use.
func (s *service) customize(ctx context.Context, docs []retrieval.Document) (dev user, arn string, err error) {
	var t struct{ Tenant string }
	if err := s.command(ctx, &t, "tenant", "add", "bench"); err != nil {
		return dev, "", err
	}
	var admin user
	if err := errors.Join(s.command(ctx, &admin, "user", "add", t.Tenant, "admin", "--admin"),
		s.command(ctx, &dev, "user", "add", t.Tenant, "developer")); err != nil {
		return dev, "", err
	}
	if err := s.upload(ctx, admin, docs); err != nil {
		return dev, "", err
	}
	api := admin.signed("codewhisperer")
	call := func(op string, in, out any) error {
		body, err := json.Marshal(in)
		if err != nil {
			return err
		}
		b, _, err := post(ctx, api, s.api+"/"+op, body)
		if err == nil && out != nil {
			err = json.Unmarshal(b, out)
		}
		return err
	}
	type object = map[string]any
	var made struct {
		ARN string `json:"customizationArn"`
	}
	if err := call("CreateCustomization", object{"customizationName": "bench",
		"dataReference": object{"s3Reference": object{"uri": "s3://" + admin.Bucket + "/src/"}}}, &made); err != nil {
		return dev, "", err
	}
	for n := 0; ; n++ {
		var got struct{ Status, ErrorDetails string }
		// A read that was signed once is answered for some seconds only.
		if err := call("GetCustomization", object{"identifier": made.ARN, "nonce": n}, &got); err != nil {
			return dev, "", err
		}
		if got.Status == "CREATED" {
			break
		}
		if strings.HasSuffix(got.Status, "FAILED") {
			return dev, "", fmt.Errorf("ingestion: %s\n%s", got.ErrorDetails, s.log)
		}
		select {
		case <-ctx.Done():
			return dev, "", ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return dev, made.ARN, errors.Join(
		call("UpdateCustomization", object{"identifier": made.ARN, "operation": "ACTIVATE"}, nil),
		call("AssociateCustomizationPermission", object{"identifier": made.ARN, "permission": object{"user": dev.User}}, nil))
}

// upload puts the documents below src/ of the user's bucket.
func (s *service) upload(ctx context.Context, u user, docs []retrieval.Document) error {
	c := u.signed("s3")
	for _, d := range docs {
		to := s.s3 + (&url.URL{Path: "/" + u.Bucket + "/src/" + d.Path}).EscapedPath()
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, to, bytes.NewReader(d.Text))
		if err != nil {
			return err
		}
		if _, _, err := send(c, r); err != nil {
			return fmt.Errorf("upload %s: %w", d.Path, err)
		}
	}
	return nil
}

func post(ctx context.Context, c *http.Client, to string, body []byte) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return send(c, r)
}

func send(c *http.Client, r *http.Request) ([]byte, http.Header, error) {
	res, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s %s", r.Method, r.URL.Path, res.Status, b[:min(len(b), 300)])
	}
	return b, res.Header, err
}
