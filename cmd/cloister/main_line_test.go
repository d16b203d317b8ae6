package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestOneLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("plain, with ünïcode"), "plain, with ünïcode"},
		{errors.Join(errors.New("a"), errors.New("b")), "a; b"},
		{errors.Join(errors.New("a"), errors.New("a")), "a"},
		{fmt.Errorf("x: %w\r\n\n  y", errors.New("\ta\x1b[2J\u009b\u202e")), "x:  a [2J; y"},
		{errors.New("a\u2028b\vc\x00"), "a; b c"},
	} {
		if got := oneLine(c.err); got != c.want {
			t.Errorf("%q: %q, want %q", c.err, got, c.want)
		}
	}
}

type full struct{ n int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	f.n++
	return 0, errFull
}

// A refusal is said once, on one line, and nothing is flushed after it.
func TestWriteErrorOnce(t *testing.T) {
	t.Parallel()
	k := keyFile(t, "k", 1)
	plain := strings.Repeat("x", 300_000)
	_, message, _ := try([]byte(plain), "seal", "--kms", k, "--context", "tenant=a")
	for _, args := range [][]string{{"open", "--kms", k, "--context", "tenant=a"}, {"seal", "--kms", k, "--context", "tenant=a"}} {
		in := message
		if args[0] == "seal" {
			in = plain
		}
		var errOut strings.Builder
		f := &full{}
		if code := command(t.Context(), args, strings.NewReader(in), f, &errOut); code != 1 || strings.Count(errOut.String(), errFull.Error()) != 1 || strings.Count(errOut.String(), "\n") != 1 {
			t.Errorf("%s: code %d, %q", args[0], code, errOut.String())
		}
		if f.n != 1 {
			t.Errorf("%s: written to %d times", args[0], f.n)
		}
	}
	for _, args := range [][]string{{"inspect"}, {"inspect", "--json"}, {"seal", "--help"}, {"inspect", "--help"}, {"help"}, {"version"}} {
		var errOut strings.Builder
		if code := command(t.Context(), args, strings.NewReader(message), &full{}, &errOut); code != 1 || strings.Count(errOut.String(), errFull.Error()) != 1 {
			t.Errorf("%s: code %d, %q", args, code, errOut.String())
		}
	}
	var out, errOut strings.Builder
	cut := message[:len(message)-70_000]
	if code := command(t.Context(), []string{"open", "--kms", k, "--context", "tenant=a"}, strings.NewReader(cut), &out, &errOut); code != 1 || strings.Count(errOut.String(), "\n") != 1 {
		t.Errorf("cut off: code %d, %q", code, errOut.String())
	}
}

// A second service on a store is refused in one line.
func TestSecondServiceOneLine(t *testing.T) {
	t.Parallel()
	_, dir, _ := serveKMS(t)
	var errOut strings.Builder
	if code := run([]string{"kms", "serve", "--dir", dir + "/store", "--root-key", dir + "/root.key", "--principals", dir + "/principals.json", "--listen", "127.0.0.1:0"}, io.Discard, &errOut); code != 1 || strings.Count(errOut.String(), "\n") != 1 {
		t.Errorf("code %d, %q", code, errOut.String())
	}
}
