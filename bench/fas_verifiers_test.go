package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The interface of awsig, with a verdict that does not depend on the request.
const credulous = `package awsig

import (
	"context"
	"errors"
	"io"
	"net/http"
)

type V4Config struct{ Region, Service string }
type Provider interface {
	Provide(context.Context, string) (string, struct{}, error)
}
type V4 struct{}
type Request struct{ r *http.Request }

var ErrInvalidAccessKeyID = errors.New("no such key")

func NewV4(Provider, V4Config) V4                      { return V4{} }
func (V4) Verify(r *http.Request) (*Request, error) { return &Request{r}, VERDICT }
func (q *Request) Reader() (io.Reader, error)        { return q.r.Body, nil }
`

func checkout(t *testing.T, source string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module github.com/amwolff/awsig\n\ngo 1.25\n", "v4.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CLOISTER_SOURCE_MINIO", "")
	t.Setenv("CLOISTER_SOURCE_AWSIG", dir)
}

func TestForeignVerifierMustBeRight(t *testing.T) {
	for name, verdict := range map[string]string{"takes everything": "nil", "takes nothing": `errors.New("no")`} {
		t.Run(name, func(t *testing.T) {
			checkout(t, strings.Replace(credulous, "VERDICT", verdict, 1))
			fs, left, stop, err := startForeign(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			if len(fs) != 1 || !strings.Contains(left, "minio is not measured") {
				t.Fatalf("%d verifiers, %q", len(fs), left)
			}
			if rows, err := foreignRows(t.Context(), true, fs); !errors.Is(err, errVerdict) {
				t.Fatalf("%v, %v", rows, err)
			}
		})
	}
}

func TestForeignVerifierDoesNotBuild(t *testing.T) {
	checkout(t, "package awsig\n")
	if _, _, _, err := startForeign(t.Context()); err == nil || !strings.Contains(err.Error(), "CLOISTER_SOURCE_AWSIG=") || !strings.Contains(err.Error(), "awsig.V4Config") {
		t.Fatal(err)
	}
}

func TestForeignVerifiersLeftOut(t *testing.T) {
	for _, o := range others {
		t.Setenv(o.variable, "")
	}
	fs, left, stop, err := startForeign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, o := range others {
		if !strings.Contains(left, o.variable) {
			t.Errorf("%q does not say that %s is not set", left, o.variable)
		}
	}
	if rows, err := foreignRows(t.Context(), true, fs); len(rows) != 0 || err != nil {
		t.Errorf("%v, %v", rows, err)
	}
}

// The verifiers of others, where their source is at hand.
func TestForeignVerifiers(t *testing.T) {
	if os.Getenv("CLOISTER_SOURCE_MINIO")+os.Getenv("CLOISTER_SOURCE_AWSIG") == "" {
		t.Skip("neither CLOISTER_SOURCE_MINIO nor CLOISTER_SOURCE_AWSIG names a checkout")
	}
	fs, _, stop, err := startForeign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	rows, err := foreignRows(t.Context(), true, fs)
	if err != nil || len(rows) != 2*len(fs)+1 {
		t.Fatalf("%d rows for %d verifiers, %v", len(rows), len(fs), err)
	}
}
