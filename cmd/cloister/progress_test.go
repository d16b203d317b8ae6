package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// slow is input that takes longer than progress waits for.
type slow struct {
	r     io.Reader
	after int
}

func (s *slow) Read(b []byte) (int, error) {
	if s.after--; s.after == 0 {
		time.Sleep(1100 * time.Millisecond)
	}
	return s.r.Read(b)
}

// Progress is said on standard error, when it is asked for; and a refusal after
// it is a line of its own.
func TestProgressOnRequest(t *testing.T) {
	t.Parallel()
	k := keyFile(t, "k", 1)
	plain := strings.Repeat("x", 3<<20)
	args := []string{"--kms", k, "--context", "tenant=a"}
	call := func(in string, after int, args ...string) (int, string, string) {
		var out, errOut strings.Builder
		code := command(t.Context(), args, &slow{strings.NewReader(in), after}, &out, &errOut)
		return code, out.String(), errOut.String()
	}
	t.Run("asked for", func(t *testing.T) {
		t.Parallel()
		code, message, errOut := call(plain, 3, append([]string{"seal", "--progress"}, args...)...)
		if code != 0 || !strings.HasPrefix(errOut, "\r") || !strings.HasSuffix(errOut, "\n") || !strings.Contains(errOut, "\r3 MiB ") {
			t.Errorf("code %d, said %q", code, errOut)
		}
		if code, out, errOut := try([]byte(message), append([]string{"open"}, args...)...); code != 0 || out != plain {
			t.Errorf("it is in the output: code %d, %s", code, errOut)
		}
		code, _, errOut = call(message[:len(message)-1], 3, append([]string{"open", "--progress"}, args...)...)
		lines := strings.Split(strings.TrimSuffix(errOut, "\n"), "\n")
		if code != 1 || len(lines) != 2 || !strings.HasPrefix(lines[1], "cloister: ") {
			t.Errorf("refused: code %d, said %q", code, errOut)
		}
	})
	t.Run("not asked for", func(t *testing.T) {
		t.Parallel()
		if code, _, errOut := call(plain, 3, append([]string{"seal"}, args...)...); code != 0 || errOut != "" {
			t.Errorf("code %d, said %q", code, errOut)
		}
	})
	t.Run("too quick to say", func(t *testing.T) {
		t.Parallel()
		if code, _, errOut := call("x", 0, append([]string{"seal", "--progress"}, args...)...); code != 0 || errOut != "" {
			t.Errorf("code %d, said %q", code, errOut)
		}
	})
}

// A file's length is known: how far it is, and what is left, follow from it.
func TestProgressOfFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var said strings.Builder
	p := startProgress(f, &said, true)
	p.start, p.last = p.start.Add(-2*time.Second), p.last.Add(-2*time.Second)
	if _, err := io.ReadFull(p, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if s := said.String(); !strings.Contains(s, " 25.0 %  1 of 4 MiB") || !strings.Contains(s, " left ") {
		t.Errorf("said %q", s)
	}
	if _, err := io.ReadFull(p, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said.String(), "\r"); n != 1 {
		t.Errorf("said %d times in one second", n)
	}
	p.end()
	if s := said.String(); !strings.Contains(s, " 50.0 % ") || !strings.HasSuffix(s, "\n") {
		t.Errorf("at the end %q", s)
	}
	// A regular file is no terminal, and nobody asked.
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for name, w := range map[string]io.Writer{"a file": log, "no file": &said} {
		if q := startProgress(f, w, false); q.w != nil {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
}
