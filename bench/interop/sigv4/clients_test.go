package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// each lets f sign every call.
func each(f func(call, *http.Request) error) map[string]signed {
	out := map[string]signed{}
	for _, c := range calls() {
		r, err := http.NewRequest(c.Method, "http://"+host+c.Target, strings.NewReader(c.Body))
		if err == nil {
			for _, h := range c.Headers {
				r.Header.Add(h[0], h[1])
			}
			err = f(c, r)
		}
		if err != nil {
			out[c.Name] = signed{Error: err.Error()}
			continue
		}
		s := signed{Name: c.Name, Target: r.URL.RequestURI()}
		for k, vs := range r.Header {
			for _, v := range vs {
				s.Headers = append(s.Headers, [2]string{k, v})
			}
		}
		sort.Slice(s.Headers, func(i, j int) bool { return s.Headers[i][0] < s.Headers[j][0] })
		out[c.Name] = s
	}
	return out
}

func TestAWSSDKGo(t *testing.T) {
	t.Parallel()
	signer := v4.NewSigner()
	matrix(t, "aws-sdk-go-v2", each(func(c call, r *http.Request) error {
		creds := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretText, SessionToken: c.Token}
		sum := sha256.Sum256([]byte(c.Body))
		payload := hex.EncodeToString(sum[:])
		opt := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.s3() }
		if !c.Presign {
			if c.s3() {
				r.Header.Set("X-Amz-Content-Sha256", payload)
			}
			return signer.SignHTTP(context.Background(), creds, r, payload, c.Service, region, clock, opt)
		}
		if c.s3() {
			payload = "UNSIGNED-PAYLOAD"
		}
		q := r.URL.Query()
		q.Set("X-Amz-Expires", "3600")
		r.URL.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
		uri, headers, err := signer.PresignHTTP(context.Background(), creds, r, payload, c.Service, region, clock, opt)
		if err != nil {
			return err
		}
		r.Header = headers
		r.URL, err = url.Parse(uri)
		return err
	}), nil)
}

func own(c call) sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: accessKey, Secret: tenant.NewSecret([]byte(secretText)), SessionToken: c.Token, Region: region, Service: c.Service}
}

func ownSign(c call, r *http.Request, creds sigv4.Credentials) error {
	if c.Presign {
		return sigv4.Presign(r, []byte(c.Body), creds, clock, time.Hour)
	}
	return sigv4.SignRequest(r, []byte(c.Body), creds, clock)
}

func TestOwnSigner(t *testing.T) {
	t.Parallel()
	matrix(t, "own", each(func(c call, r *http.Request) error { return ownSign(c, r, own(c)) }), nil)
}

func TestOwnSignerSigV4A(t *testing.T) {
	t.Parallel()
	matrix(t, "own-sigv4a", each(func(c call, r *http.Request) error {
		creds := own(c)
		creds.RegionSet = region
		return ownSign(c, r, creds)
	}), nil)
}

// script lets a program sign every call.
func script(t *testing.T, name string, args ...string) map[string]signed {
	t.Helper()
	in, err := json.Marshal(map[string]any{"clock": clock.Format("2006-01-02T15:04:05+00:00"), "key": accessKey, "secret": secretText, "region": region, "host": host, "calls": calls()})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	var list []signed
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(fmt.Errorf("%w: %w", errClient, err))
	}
	out := map[string]signed{}
	for _, s := range list {
		out[s.Name] = s
	}
	return out
}

func TestBotocore(t *testing.T) {
	t.Parallel()
	python := os.Getenv("CLOISTER_PYTHON")
	if python == "" {
		t.Skip("CLOISTER_PYTHON does not name an interpreter with botocore")
	}
	matrix(t, "botocore", script(t, python, "testdata/sign.py"), nil)
}

func node(t *testing.T, client string) map[string]signed {
	t.Helper()
	modules := os.Getenv("CLOISTER_NODE_MODULES")
	if modules == "" {
		t.Skip("CLOISTER_NODE_MODULES does not name a folder with @smithy/signature-v4, @aws-crypto/sha256-js and aws4")
	}
	name, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not in the search path")
	}
	return script(t, name, "testdata/sign.cjs", modules, client)
}

func TestSmithy(t *testing.T) {
	t.Parallel()
	matrix(t, "smithy", node(t, "smithy"), nil)
}

// It signs in headers only.
func TestSmithySigV4A(t *testing.T) {
	t.Parallel()
	answers := node(t, "smithy4a")
	if _, err := os.Stat(filepath.Join(os.Getenv("CLOISTER_NODE_MODULES"), "@smithy", "signature-v4a")); err != nil {
		t.Skip("CLOISTER_NODE_MODULES has no @smithy/signature-v4a")
	}
	but := known{}
	for _, c := range calls() {
		if c.Presign {
			but[c.Name] = "skip"
		}
	}
	matrix(t, "smithy-sigv4a", answers, but)
}

func TestAws4(t *testing.T) {
	t.Parallel()
	matrix(t, "aws4", node(t, "aws4"), nil)
}
